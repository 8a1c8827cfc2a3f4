"""Stage 1: the predictor and the codes learn which gates of a frozen UNet a prompt can do without."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from aptp.data.batches import Batch
from aptp.model.gates import GatedUNet
from aptp.model.prompt_encoder import PromptEncoder
from aptp.train import losses
from aptp.train.budget import Budget
from aptp.train.gate_policy import CodeChoice, GatePolicy
from aptp.train.prompts import pooled
from aptp.train.published_gates import PublishedGates
from aptp.trainer import distributed
from aptp.trainer.distillation_losses import block_distances, output_distances, powers, recorded
from aptp.trainer.inputs import EncodedInputs, Inputs, drop
from aptp.trainer.learner import Learner
from aptp.trainer.noising import Noised, Noising
from aptp.trainer.rng import Draws
from aptp.trainer.slices import SlicedGradient, joined, slices


class CodeLearner(Learner):
    """A learner of `policy` on a frozen pipeline, whose UNet is student (gated) and teacher (all open).

    `prompt_encoder`: what prompts are routed by, where that is not the pipeline's text encoder. `inputs`:
    where latents and text embeddings come from, where that is not the pipeline itself. `timesteps`: how they
    are drawn (`aptp.trainer.timesteps`). `at_once`: rows that the UNet takes at a time, and the pipeline's
    VAE, for less memory and the same result; by default all.
    """

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        policy: GatePolicy,
        budget: Budget,
        prompt_encoder: PromptEncoder | None = None,
        inputs: Inputs | None = None,
        *,
        timesteps: str = "stratified",
        at_once: int | None = None,
    ) -> None:
        super().__init__()
        self.policy = policy
        self._budget = budget
        gating = GatedUNet if policy.method.exact_placement else PublishedGates
        self.supernet = _frozen(gating(pipeline.unet, policy.space))
        self.inputs = inputs or EncodedInputs(pipeline, at_once)
        self.prompt_encoder = _frozen(prompt_encoder) if prompt_encoder else None
        self._at_once = at_once
        self._noising = Noising(pipeline.scheduler, timesteps)

    def forward(self, batch: Batch, step: int, draws: Draws) -> dict[str, Tensor]:
        """Draws, in this order: latents, timesteps and noise, dropped captions, Gumbel noise."""
        method = self.policy.method
        latents = self.inputs.latents(batch, draws)
        noised = self._noising.draw(latents, draws)
        # Prompts are routed in float32 when they are served, so that is how routing is learned.
        with torch.autocast(latents.device.type, enabled=False):
            context, embedding = self._read(batch, draws)
            choice = self.policy(embedding, step < method.warm_up, draws)
        terms, gradient = self._of_images(noised, context, choice)
        with torch.autocast(latents.device.type, enabled=False):
            ratios = self._budget.ratios(choice.built)
            terms |= self._of_architectures(ratios, choice.vectors, embedding)
        return {"loss": self._sum(terms) + gradient.loss(), **terms, **_figures(ratios, choice, method.codes)}

    @torch.no_grad()
    def _read(self, batch: Batch, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return what the UNet sees [B, T, E], some captions emptied, and what is routed [B, E], none of
        them.
        """
        encoded = self.inputs.text(batch)
        routed = self.prompt_encoder(batch.captions) if self.prompt_encoder else encoded
        gone = torch.tensor([not kept for kept in drop(batch.captions, draws, self.policy.method.dropped)])
        empty = self.inputs.empty()
        return torch.where(gone.to(empty.device)[:, None, None], empty, encoded.hidden), pooled(routed)

    def _of_images(
        self, noised: Noised, context: Tensor, choice: CodeChoice
    ) -> tuple[dict[str, Tensor], SlicedGradient]:
        """Return the loss terms of the UNet under the chosen gates, and their gradient there; the teacher is
        the same UNet under open gates.
        """
        count, gradient = len(choice.gates), SlicedGradient([choice.gates], self.loss_scale)
        rows = slices(count, self._at_once)
        with recorded(self.supernet.unet) as blocks:

            def run(part: slice, gates: Tensor) -> Tensor:
                blocks.clear()
                inputs = (noised.sample[part], noised.timesteps[part], context[part])
                output: Tensor = self.supernet(*inputs, gates=gates[part])
                return output

            def distances(part: slice, gates: Tensor) -> dict[str, Tensor]:
                output = run(part, gates)
                return {
                    "diffusion": noised.part(part).loss(output),
                    "output": output_distances(output, dense[part]),
                    "blocks": block_distances(blocks, [block[part] for block in taught], power),
                }

            with torch.no_grad():
                lessons = [(run(part, torch.ones_like(choice.gates)), *blocks) for part in rows]
                dense, *taught = map(joined, zip(*lessons, strict=True))
                power = self._power(taught)
                rivals = [distances(part, choice.rival.gates) for part in rows] if choice.rival else []
            # A slice's gradient follows at once, because gradient checkpointing runs it again under the gates
            # that were set last.
            found = []
            for part in rows:
                found.append(distances(part, choice.gates))
                gradient.add(self._sum({name: each.sum() / count for name, each in found[-1].items()}))
        own = _together(found)
        terms = {name: each.mean() for name, each in own.items()}
        if choice.rival:
            gain = self._sum(own) - self._sum(_together(rivals))
            terms["gain"] = losses.gain_loss(
                distributed.gathered(choice.rival.lead), distributed.gathered(gain)
            )
        return terms, gradient

    def _power(self, taught: Sequence[Tensor]) -> Tensor | None:
        if not self.policy.method.relative_blocks:
            return None
        rows = len(taught[0])
        return powers(taught, torch.full((rows,), 1 / (rows * distributed.count())).to(taught[0].device))

    def _sum(self, terms: Mapping[str, Tensor]) -> Tensor:
        weighted = [getattr(self.policy.method.weights, name) * term for name, term in terms.items()]
        return torch.stack(weighted).sum(0)

    def _of_architectures(self, ratios: Tensor, vectors: Tensor, embedding: Tensor) -> dict[str, Tensor]:
        """Return the loss terms of costs [N], and of prompts as they are compared [B, D] and read [B, E]."""
        method, read = self.policy.method, self.policy.predictor.standard(embedding)
        return {
            "budget": losses.budget_loss(ratios, self._budget.aim),
            "contrast": losses.contrast_loss(
                distributed.gathered(vectors), distributed.gathered(read), method.contrast_temperature
            ),
            "deviation": losses.deviation_loss(ratios, method.spread),
            "largest": losses.largest_loss(ratios),
        }


def _together(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the terms of all slices' rows, without their graphs."""
    return {name: joined([part[name].detach() for part in parts]) for name in parts[0]}


def _figures(ratios: Tensor, choice: CodeChoice, codes: int) -> dict[str, Tensor]:
    """Return the figures logged beside the terms; shares of what the budget counts, and of the batch."""
    found = {"cheapest": ratios.min(), "mean": ratios.mean(), "dearest": ratios.max()}
    if choice.assigned is not None:
        found["largest_share"] = choice.assigned.bincount(minlength=codes).max() / len(choice.assigned)
    return {name: value.detach() for name, value in found.items()}


def _frozen(module: nn.Module) -> Any:
    return module.requires_grad_(False).eval()
