"""The learner of stage 2: experts sliced from the dense UNet are trained to match it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from aptp.data.batches import Batch
from aptp.finetune.weights import ExpertLossWeights
from aptp.model.encoding import TextEncoding
from aptp.model.prompt_encoder import PromptEncoder
from aptp.model.router import Router
from aptp.model.sliced import SlicedUNet
from aptp.trainer import distributed
from aptp.trainer.distillation_losses import block_distances, output_distances, powers, recorded
from aptp.trainer.inputs import drop, encode
from aptp.trainer.learner import Learner
from aptp.trainer.noising import Noised, Noising
from aptp.trainer.rng import Draws
from aptp.trainer.slices import SlicedGradient, joined, slices


class TeacherTargets(NamedTuple):
    """The targets that one pass of the teacher gives the experts, row by row: its `output` and `blocks` for
    `noised` under `context`. `share` [B]: how much each row counts.
    """

    noised: Noised
    context: Tensor
    output: Tensor
    blocks: tuple[Tensor, ...]
    share: Tensor

    def part(self, rows: slice) -> "TeacherTargets":
        return TeacherTargets(
            self.noised.part(rows),
            self.context[rows],
            self.output[rows],
            tuple(block[rows] for block in self.blocks),
            self.share[rows],
        )


class ExpertLearner(Learner):
    """A learner of `experts` (by code), each on the prompts that `router` sends to it.

    All of them share one pass of the teacher, the dense UNet. Rows of a batch whose expert is not being
    trained cost nothing but their caption's encoding. Which expert a caption belongs to is decided before
    captions are dropped, as it is when guidance runs the empty prompt through the prompt's own expert.
    """

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        router: Router,
        experts: Mapping[int, SlicedUNet],
        weights: ExpertLossWeights,
        prompt_encoder: PromptEncoder | None = None,
        *,
        timesteps: str = "stratified",
        at_once: int | None = None,
    ) -> None:
        """`prompt_encoder`: what the router reads, where that is not the pipeline's text encoder.
        `timesteps`: how they are drawn (`aptp.trainer.timesteps`). `at_once`: rows that UNets and VAE take
        at a time, for less memory and the same result; by default all.
        """
        super().__init__()
        self.teacher, self.router = _frozen(pipeline.unet), _frozen(router)
        self.prompt_encoder = _frozen(prompt_encoder) if prompt_encoder else None
        self.vae, self.text_encoder = _frozen(pipeline.vae), _frozen(pipeline.text_encoder)
        self.experts = nn.ModuleDict({str(code): expert.train() for code, expert in experts.items()})
        self._text = TextEncoding(pipeline.tokenizer, self.text_encoder)
        self._at_once = at_once
        self._noising = Noising(pipeline.scheduler, timesteps)
        self._weights = weights

    def forward(self, batch: Batch, step: int, draws: Draws) -> dict[str, Tensor]:
        """Draws, in this order: dropped captions, latents, timesteps and noise."""
        context, codes = self._read(batch, draws)
        rows = {code: (codes == int(code)).nonzero()[:, 0] for code in self.experts}
        counts = distributed.total(torch.tensor([len(own) for own in rows.values()]).to(codes))
        everyone = int(counts.sum())  # rows that are used, in all processes
        used = torch.cat(list(rows.values()))
        weight = 1 / everyone if len(used) else 0.0
        if not len(used):  # one row that counts nothing, so that there is a graph
            rows[next(iter(rows))] = used = codes.new_zeros(1)
        lesson = self._taught(batch, context, used, weight, draws)
        power = powers(lesson.blocks, lesson.share) if self._weights.relative_blocks else None
        start, losses = 0, []
        gradients = {
            code: SlicedGradient(expert.parameters(), self.loss_scale)
            for code, expert in self.experts.items()
        }
        for code, own in rows.items():
            part = lesson.part(slice(start, start + len(own)))
            losses.append(self._loss(code, part, power, gradients[code]))
            start += len(own)
        shares = zip(self.experts, distributed.total(torch.stack(losses)) * everyone, counts, strict=True)
        # The mean over processes is then the mean over all used rows.
        gradient = torch.stack([each.loss() for each in gradients.values()]).sum()
        return {
            "loss": distributed.count() * (torch.stack(losses).sum() + gradient),
            **{f"loss.{code}": total / count for code, total, count in shares if count},
        }

    @torch.no_grad()
    def _read(self, batch: Batch, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return what the UNets see [B, T, E], some captions emptied, and each caption's code [B], none
        emptied.
        """
        # Prompts are routed in float32 when they are served.
        with torch.autocast(self.vae.device.type, enabled=False):
            encoded = self._text(batch.captions)
            routed = self.prompt_encoder(batch.captions) if self.prompt_encoder else encoded
            codes = self.router.route(routed.hidden, routed.mask)
            gone = torch.tensor([not kept for kept in drop(batch.captions, draws)], device=codes.device)
            empty = self._text([""]).hidden
        return torch.where(gone[:, None, None], empty, encoded.hidden), codes

    @torch.no_grad()
    def _taught(
        self, batch: Batch, context: Tensor, used: Tensor, weight: float, draws: Draws
    ) -> TeacherTargets:
        """Return the teacher's pass over the rows `used`, each of which counts `weight`."""
        drawn = draws.of(used)
        noised = self._noising.draw(encode(self.vae, batch.images[used.cpu()], drawn, self._at_once), drawn)
        asked, lessons = context[used], []
        with recorded(self.teacher) as blocks:
            for part in slices(len(used), self._at_once):
                blocks.clear()
                inputs = (noised.sample[part], noised.timesteps[part], asked[part])
                lessons.append((self.teacher(*inputs, return_dict=False)[0], *blocks))
        output, *taught = map(joined, zip(*lessons, strict=True))
        share = context.new_full((len(used),), weight)
        return TeacherTargets(noised, asked, output, tuple(taught), share)

    def _loss(
        self, code: str, lesson: TeacherTargets, power: Tensor | None, gradient: SlicedGradient
    ) -> Tensor:
        """Return the loss of one expert on its rows, each weighted by its share, without its graph, which
        goes to `gradient`.
        """
        expert: Any = self.experts[code]
        found = lesson.share.new_zeros(())
        for rows in slices(len(lesson.share), self._at_once):
            taught = lesson.part(rows)
            noised = taught.noised
            with recorded(expert) as blocks:
                output = expert(noised.sample, noised.timesteps, taught.context, return_dict=False)[0]
            lost = (
                self._weights.diffusion * noised.loss(output)
                + self._weights.output * output_distances(output, taught.output)
                + self._weights.blocks * block_distances(blocks, taught.blocks, power)
            )
            lost = (lost * taught.share).sum()
            gradient.add(lost)
            found = found + lost.detach()
        return found


def _frozen(module: nn.Module) -> Any:
    return module.requires_grad_(False).eval()
