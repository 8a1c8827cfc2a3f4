"""A run of stage 2: its task, and everything that is opened for it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from aptp.checkpoint.reader import Checkpoint
from aptp.data.captions import Window
from aptp.data.option import chosen
from aptp.data.sample import NamedSource
from aptp.data.sources import open_source
from aptp.finetune.weights import ExpertLossWeights
from aptp.model.sliced import SlicedUNet
from aptp.pipeline import check_size, classic_attention, draws_scenes, read_pipeline
from aptp.trainer.feed import Feed, open_feed
from aptp.trainer.loop import RunOptions
from aptp.trainer.recipe import Recipe


@dataclass(frozen=True, slots=True)
class ExpertTask:
    """The task of stage 2: train the experts of `codes` on `data`; None: on scenes, where the checkpoint is
    of the default's kind.

    The batch of `recipe` is each expert's. `train_size`: (height, width) in pixels of the pictures in
    training, by default what the checkpoint serves. `latents`: a cache of `data`, that is read instead of
    pictures.
    """

    checkpoint: Checkpoint
    codes: Sequence[int]
    data: str | None
    recipe: Recipe
    weights: ExpertLossWeights
    train_size: tuple[int, int] | None = None
    latents: Path | None = None

    @property
    def whole(self) -> Recipe:
        """The recipe of all experts together."""
        return self.recipe.together(len(self.codes))


@dataclass(frozen=True, slots=True)
class ExpertRun:
    """An opened task: the frozen `pipeline`, the `experts` that are trained, and what they learn from.

    `size`: (height, width) in pixels of the pictures in training. `data`: as it was named, or scenes.
    """

    task: ExpertTask
    pipeline: DiffusionPipeline
    experts: Mapping[int, SlicedUNet]
    size: tuple[int, int]
    data: str
    feed: Feed

    @classmethod
    def open(
        cls, task: ExpertTask, options: RunOptions, *, recompute: bool = False, at_once: int | None = None
    ) -> "ExpertRun":
        """Read the checkpoint, list the data. Raises UsageError, SpaceError, CheckpointError, DataError."""
        checkpoint = task.checkpoint
        data = chosen(task.data, checkpoint.path, draws_scenes=draws_scenes(checkpoint.unet_config))
        asked = task.train_size or checkpoint.record.size
        size = check_size(asked, checkpoint.vae_scale, checkpoint.unet_config)
        checkpoint.verify()
        experts = {code: _expert(checkpoint, code, recompute) for code in task.codes}
        pipeline = read_pipeline(checkpoint.path, torch.float32)
        classic_attention(pipeline.unet, pipeline.vae, *experts.values())
        feed = open_feed(
            pipeline,
            _opened(data, task, size, pipeline),
            size=size,
            precision=options.precision,
            seed=task.recipe.seed,
            cache=task.latents,
            pictures=options.looks,
            at_once=at_once,
        )
        return cls(task, pipeline, experts, size, data, feed)

    def held_out(self) -> NamedSource:
        """Open samples that are not trained on. Raises DataError where there are none."""
        return _opened(self.data, self.task, self.size, self.pipeline, split="test")

    def identity(self) -> dict[str, Any]:
        """Tell, as JSON, what this run learns, and from what."""
        return {
            "codes": list(self.task.codes),
            "data": self.feed.source.about,
            "train_size": list(self.size),
            "weights": asdict(self.task.weights),
            **self.feed.identity,
        }


def _opened(
    data: str, task: ExpertTask, size: tuple[int, int], pipeline: DiffusionPipeline, split: str = "train"
) -> NamedSource:
    fits = Window(pipeline.tokenizer)
    return open_source(data, seed=task.recipe.seed, split=split, size=size, fits=fits)


def _expert(checkpoint: Checkpoint, code: int, recompute: bool) -> SlicedUNet:
    expert = checkpoint.expert(str(code))
    assert isinstance(expert, SlicedUNet)
    if recompute:
        expert.enable_gradient_checkpointing()
    return expert
