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


class CodeLearner(Learner):
    """A learner of `policy` on a frozen pipeline, whose UNet is student (gated) and teacher (all open).

    `prompt_encoder`: what prompts are routed by, where that is not the pipeline's text encoder. `inputs`:
    where latents and text embeddings come from, where that is not the pipeline itself.
    """

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        policy: GatePolicy,
        budget: Budget,
        prompt_encoder: PromptEncoder | None = None,
        inputs: Inputs | None = None,
    ) -> None:
        super().__init__()
        self.policy = policy
        self._budget = budget
        gating = GatedUNet if policy.method.exact_placement else PublishedGates
        self.supernet = _frozen(gating(pipeline.unet, policy.space))
        self.inputs = inputs or EncodedInputs(pipeline)
        self.prompt_encoder = _frozen(prompt_encoder) if prompt_encoder else None
        self._noising = Noising(pipeline.scheduler.config)

    def forward(self, batch: Batch, step: int, draws: Draws) -> dict[str, Tensor]:
        """Draws, in this order: latents, timesteps and noise, dropped captions, Gumbel noise."""
        method = self.policy.method
        latents = self.inputs.latents(batch, draws)
        noised = self._noising.draw(latents, draws)
        # Prompts are routed in float32 when they are served, so that is how routing is learned.
        with torch.autocast(latents.device.type, enabled=False):
            context, embedding = self._read(batch, draws)
            choice = self.policy(embedding, step < method.warm_up, draws)
        terms = self._of_images(noised, context, choice)
        with torch.autocast(latents.device.type, enabled=False):
            ratios = self._budget.ratios(choice.built)
            terms |= self._of_architectures(ratios, choice.vectors, embedding)
        return {"loss": self._sum(terms), **terms, **_figures(ratios, choice, method.codes)}

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

    def _of_images(self, noised: Noised, context: Tensor, choice: CodeChoice) -> dict[str, Tensor]:
        """Return the loss terms of the UNet under the chosen gates; the teacher is the same UNet under open
        gates.
        """
        inputs = (noised.sample, noised.timesteps, context)
        with recorded(self.supernet.unet) as blocks:

            def distances(gates: Tensor) -> dict[str, Tensor]:
                blocks.clear()
                output = self.supernet(*inputs, gates=gates)
                return {
                    "diffusion": noised.loss(output),
                    "output": output_distances(output, dense),
                    "blocks": block_distances(blocks, taught, power),
                }

            with torch.no_grad():
                dense = self.supernet(*inputs, gates=torch.ones_like(choice.gates))
                taught = blocks.copy()
                power = self._power(taught)
                rival = distances(choice.rival.gates) if choice.rival else None
            # Last, because gradient checkpointing runs it again under the gates that were set last.
            own = distances(choice.gates)
        terms = {name: each.mean() for name, each in own.items()}
        if rival and choice.rival:
            gain = self._sum(own) - self._sum(rival)
            terms["gain"] = losses.gain_loss(
                distributed.gathered(choice.rival.lead), distributed.gathered(gain)
            )
        return terms

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


def _figures(ratios: Tensor, choice: CodeChoice, codes: int) -> dict[str, Tensor]:
    """Return the figures logged beside the terms; shares of what the budget counts, and of the batch."""
    found = {"cheapest": ratios.min(), "mean": ratios.mean(), "dearest": ratios.max()}
    if choice.assigned is not None:
        found["largest_share"] = choice.assigned.bincount(minlength=codes).max() / len(choice.assigned)
    return {name: value.detach() for name, value in found.items()}


def _frozen(module: nn.Module) -> Any:
    return module.requires_grad_(False).eval()
