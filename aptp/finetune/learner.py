"""The learner of stage 2: experts sliced from the dense UNet are trained to match it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from aptp.data.batches import Batch
from aptp.finetune.weights import ExpertLossWeights
from aptp.model.prompt_encoder import PromptEncoder
from aptp.model.router import Router
from aptp.model.sliced import SlicedUNet
from aptp.trainer import distributed
from aptp.trainer.distillation_losses import block_distances, output_distances, powers, recorded
from aptp.trainer.inputs import EncodedInputs, Inputs, drop
from aptp.trainer.learner import Learner
from aptp.trainer.noising import Noised, Noising
from aptp.trainer.rng import Draws


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
            Noised(*(field[rows] for field in self.noised)),
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
        inputs: Inputs | None = None,
    ) -> None:
        """`prompt_encoder`: what the router reads, where that is not the pipeline's text encoder. `inputs`:
        where latents and text embeddings come from, where that is not the pipeline itself.
        """
        super().__init__()
        self.teacher, self.router = _frozen(pipeline.unet), _frozen(router)
        self.prompt_encoder = _frozen(prompt_encoder) if prompt_encoder else None
        self.inputs = inputs or EncodedInputs(pipeline)
        self.experts = nn.ModuleDict({str(code): expert.train() for code, expert in experts.items()})
        self._noising = Noising(pipeline.scheduler.config)
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
        power, start, losses = powers(lesson.blocks, lesson.share), 0, []
        for code, own in rows.items():
            losses.append(self._loss(code, lesson.part(slice(start, start + len(own))), power))
            start += len(own)
        shares = zip(self.experts, distributed.total(torch.stack(losses)) * everyone, counts, strict=True)
        # The mean over processes is then the mean over all used rows.
        return {
            "loss": distributed.count() * torch.stack(losses).sum(),
            **{f"loss.{code}": total / count for code, total, count in shares if count},
        }

    @torch.no_grad()
    def _read(self, batch: Batch, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return what the UNets see [B, T, E], some captions emptied, and each caption's code [B], none
        emptied.
        """
        # Prompts are routed in float32 when they are served.
        with torch.autocast(self.teacher.device.type, enabled=False):
            encoded = self.inputs.text(batch)
            routed = self.prompt_encoder(batch.captions) if self.prompt_encoder else encoded
            codes = self.router.route(routed.hidden, routed.mask)
            gone = torch.tensor([not kept for kept in drop(batch.captions, draws)], device=codes.device)
            empty = self.inputs.empty()
        return torch.where(gone[:, None, None], empty, encoded.hidden), codes

    @torch.no_grad()
    def _taught(
        self, batch: Batch, context: Tensor, used: Tensor, weight: float, draws: Draws
    ) -> TeacherTargets:
        """Return the teacher's pass over the rows `used`, each of which counts `weight`."""
        drawn = draws.of(used)
        noised = self._noising.draw(self.inputs.latents(batch, drawn, used), drawn)
        with recorded(self.teacher) as blocks:
            output = self.teacher(noised.sample, noised.timesteps, context[used], return_dict=False)[0]
        share = context.new_full((len(used),), weight)
        return TeacherTargets(noised, context[used], output, tuple(blocks), share)

    def _loss(self, code: str, lesson: TeacherTargets, power: Tensor) -> Tensor:
        """Return the loss of one expert on its rows, each weighted by its share."""
        expert: Any = self.experts[code]
        if not len(lesson.share):  # a gradient of zero: without one, other processes would wait for it
            return sum((p.sum() * 0 for p in expert.parameters()), lesson.share.sum())
        noised = lesson.noised
        with recorded(expert) as blocks:
            output = expert(noised.sample, noised.timesteps, lesson.context, return_dict=False)[0]
        lost = (
            self._weights.diffusion * noised.loss(output)
            + self._weights.output * output_distances(output, lesson.output)
            + self._weights.blocks * block_distances(blocks, lesson.blocks, power)
        )
        return (lost * lesson.share).sum()


def _frozen(module: nn.Module) -> Any:
    return module.requires_grad_(False).eval()
