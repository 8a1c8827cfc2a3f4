"""Stage 2: experts that were sliced out of the dense UNet learn to do without what was cut away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from aptp.data.batches import Batch
from aptp.finetune.weights import Weights
from aptp.model.encoding import TextEncoding
from aptp.model.prompt_encoder import PromptEncoder
from aptp.model.router import Router
from aptp.model.sliced import SlicedUNet
from aptp.training.conditioning import drop
from aptp.training.distillation import block_distance, output_distance, recorded
from aptp.training.latents import encode
from aptp.training.learner import Learner
from aptp.training.noising import Noised, Noising


class ExpertLearner(Learner):
    """Trains ``experts`` (by code), each on the prompts that ``router`` sends to it.

    All of them share one pass of the teacher, the dense UNet. Rows of a batch whose expert is not being
    trained cost nothing but their caption's encoding. Which expert a caption belongs to is decided before
    captions are dropped, as it is when guidance runs the empty prompt through the prompt's own expert.
    """

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        router: Router,
        experts: Mapping[int, SlicedUNet],
        weights: Weights,
        prompt_encoder: PromptEncoder | None = None,
    ) -> None:
        """``prompt_encoder``: what the router reads, where that is not the pipeline's text encoder."""
        super().__init__()
        self.teacher, self.router = _frozen(pipeline.unet), _frozen(router)
        self.prompt_encoder = _frozen(prompt_encoder) if prompt_encoder else None
        self.vae, self.text_encoder = _frozen(pipeline.vae), _frozen(pipeline.text_encoder)
        self.experts = nn.ModuleDict({str(code): expert.train() for code, expert in experts.items()})
        self._text = TextEncoding(pipeline.tokenizer, self.text_encoder)
        self._noising = Noising(pipeline.scheduler.config)
        self._weights = weights

    def forward(self, batch: Batch, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        """Draws, in this order: dropped captions, latents, timesteps and noise; the latter of used rows."""
        context, codes = self._read(batch, rng)
        rows = {code: (codes == int(code)).nonzero()[:, 0] for code in self.experts}
        used = torch.cat(list(rows.values()))
        if not len(used):  # nothing to learn from: a zero that still has gradients
            return {"loss": sum((p.sum() * 0 for p in self.experts.parameters()), torch.zeros(()))}
        noised = self._noising.draw(encode(self.vae, batch.images[used.cpu()], rng), rng)
        inputs = (noised.sample, noised.timesteps, context[used])
        with torch.no_grad(), recorded(self.teacher) as taught:
            dense = self.teacher(*inputs, return_dict=False)[0]
        terms: dict[str, Tensor] = {}
        losses, start = [], 0
        for code, own in rows.items():
            part = slice(start, start + len(own))
            start = part.stop
            if not len(own):
                continue
            loss = self._distance(code, part, noised, inputs, dense, taught)
            terms[f"loss.{code}"] = loss.detach()
            losses.append(loss * len(own) / len(used))
        return {"loss": torch.stack(losses).sum(), **terms}

    @torch.no_grad()
    def _read(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """What the UNets see [B, T, E], some captions emptied, and each caption's code [B], none emptied."""
        # Prompts are routed in float32 when they are served.
        with torch.autocast(self.vae.device.type, enabled=False):
            encoded = self._text(batch.captions)
            routed = self.prompt_encoder(batch.captions) if self.prompt_encoder else encoded
            codes = self.router.route(routed.hidden, routed.mask)
            gone = torch.tensor([not kept for kept in drop(batch.captions, rng)], device=codes.device)
            empty = self._text([""]).hidden
        return torch.where(gone[:, None, None], empty, encoded.hidden), codes

    def _distance(
        self,
        code: str,
        part: slice,
        noised: Noised,
        inputs: tuple[Tensor, Tensor, Tensor],
        dense: Tensor,
        taught: list[Tensor],
    ) -> Tensor:
        """The loss of one expert on its ``part`` of the rows."""
        expert: Any = self.experts[code]
        own = Noised(*(field[part] for field in noised))
        with recorded(expert) as blocks:
            output = expert(*(tensor[part] for tensor in inputs), return_dict=False)[0]
        blocks_loss = block_distance(blocks, [block[part] for block in taught], relative=True)
        return (
            self._weights.diffusion * own.loss(output)
            + self._weights.output * output_distance(output, dense[part])
            + self._weights.blocks * blocks_loss
        )


def _frozen(module: nn.Module) -> Any:
    return module.requires_grad_(False).eval()
