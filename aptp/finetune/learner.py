"""The learner of stage 2: experts sliced from the dense UNet are trained to match it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from aptp.data.batches import Batch
from aptp.evaluate.detections import Pictures
from aptp.evaluate.sampling import Parts, SamplingOptions, sample
from aptp.finetune.weights import ExpertLossWeights
from aptp.model.sliced import SlicedUNet
from aptp.trainer import distributed
from aptp.trainer.distillation_losses import block_distances, output_distances, powers, recorded
from aptp.trainer.inputs import EncodedInputs, Inputs, drop
from aptp.trainer.learner import Learner
from aptp.trainer.noising import Noised, Noising
from aptp.trainer.rng import Draws
from aptp.trainer.slices import SlicedGradient, joined, slices


class TeacherTargets(NamedTuple):
    """The targets that a pass of the teacher gives an expert, row by row: its `output` and `blocks` for
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
    """A learner of `experts` (by code), which take turns in a batch of B rows: row r is the (r mod n)-th
    expert's, who has B / n of them (`aptp.finetune.turns` arranges the samples so).

    What an expert learns does not depend on the others: its rows have random numbers of their own and a pass
    of the teacher, the dense UNet, for themselves, and its gradient is clipped apart.
    """

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        experts: Mapping[int, SlicedUNet],
        weights: ExpertLossWeights,
        inputs: Inputs | None = None,
        *,
        size: tuple[int, int] | None = None,
        timesteps: str = "stratified",
        at_once: int | None = None,
    ) -> None:
        """Take the frozen networks of `pipeline`, which is the teacher.

        `inputs`: where latents and text embeddings come from, where that is not the pipeline itself. `size`:
        the (height, width) in pixels of what `draw` draws; by default the pipeline's own. `timesteps`: how
        they are drawn (`aptp.trainer.timesteps`). `at_once`: rows that UNets take at a time, and the
        pipeline's VAE, for less memory and the same result; by default all of an expert's.
        """
        super().__init__()
        self.teacher = _frozen(pipeline.unet)
        self.inputs = inputs or EncodedInputs(pipeline, at_once)
        self.experts = nn.ModuleDict({str(code): expert.train() for code, expert in experts.items()})
        self._at_once = at_once
        self._noising = Noising(pipeline.scheduler, timesteps)
        self._weights, self._parts = weights, Parts.of_pipeline(pipeline)
        side = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        self._size = size or (side, side)

    @property
    def drawers(self) -> int:
        return len(self.experts)

    def draw(self, captions: Sequence[str]) -> Pictures:
        each = len(captions) // len(self.experts)
        options = SamplingOptions(size=self._size)
        drawn = []
        for turn, expert in enumerate(self.experts.values()):
            own = captions[turn * each : (turn + 1) * each]
            drawn.append(sample(self._parts.with_unet(expert), own, options))
        return np.concatenate(drawn)

    def clipped(self) -> list[list[nn.Parameter]]:
        return [list(expert.parameters()) for expert in self.experts.values()]

    def forward(self, batch: Batch, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the loss of each expert, the mean over its rows, and as `loss` their sum."""
        assert draws.total % len(self.experts) == 0, "experts have the same number of rows"
        losses, gradients = {}, []
        for turn, (code, expert) in enumerate(self.experts.items()):
            rows, drawn = draws.turn(turn, len(self.experts), int(code))
            share = 1 / drawn.total
            if not len(rows):  # one row that counts nothing: other processes wait for sums and gradients
                rows, drawn, share = torch.zeros(1, dtype=torch.int64), drawn.first(), 0.0
            lesson = self._taught(batch.part(rows), share, drawn)
            gradient = SlicedGradient(expert.parameters(), self.loss_scale)
            losses[code] = distributed.count() * self._loss(expert, lesson, gradient)
            gradients.append(gradient.loss())
        # The mean of each over processes is the mean over all its rows.
        loss = torch.stack([*losses.values()]).sum() + distributed.count() * torch.stack(gradients).sum()
        return {"loss": loss, **{f"loss.{code}": value for code, value in losses.items()}}

    @torch.no_grad()
    def _taught(self, batch: Batch, share: float, draws: Draws) -> TeacherTargets:
        """Return the teacher's pass over rows of which each counts `share`.

        Draws, in this order: dropped captions, latents, timesteps and noise.
        """
        gone = torch.tensor([not kept for kept in drop(batch.captions, draws)])
        # Served prompts are encoded in float32.
        with torch.autocast(self.teacher.device.type, enabled=False):
            empty, hidden = self.inputs.empty(), self.inputs.text(batch).hidden
        context = torch.where(gone.to(empty.device)[:, None, None], empty, hidden)
        noised = self._noising.draw(self.inputs.latents(batch, draws), draws)
        lessons = []
        with recorded(self.teacher) as blocks:
            for part in slices(len(context), self._at_once):
                blocks.clear()
                inputs = (noised.sample[part], noised.timesteps[part], context[part])
                lessons.append((self.teacher(*inputs, return_dict=False)[0], *blocks))
        output, *taught = map(joined, zip(*lessons, strict=True))
        counts = context.new_full((len(context),), share)
        return TeacherTargets(noised, context, output, tuple(taught), counts)

    def _loss(self, expert: Any, lesson: TeacherTargets, gradient: SlicedGradient) -> Tensor:
        """Return the loss of one expert on these rows, each weighted by its share, without its graph, which
        goes to `gradient`.
        """
        power = powers(lesson.blocks, lesson.share) if self._weights.relative_blocks else None
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
