"""A run of stage 1: its task, and everything that is opened for it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline

from aptp.checkpoint.record import GUIDANCE
from aptp.data.captions import Window
from aptp.data.option import chosen
from aptp.data.sample import NamedSource
from aptp.data.sources import open_source
from aptp.model.encoding import Encode, TextEncoding
from aptp.model.prompt_encoder import PromptEncoder, read_prompt_encoder
from aptp.pipeline import chosen_size, classic_attention, draws_scenes, read_pipeline
from aptp.space.cost import Cost
from aptp.space.discover import discover
from aptp.train.budget import Budget
from aptp.train.method import Method
from aptp.train.pricing import costs
from aptp.trainer.recipe import Recipe
from runtime.errors import UsageError
from runtime.formats import MAX_GUIDANCE


@dataclass(frozen=True, slots=True)
class RouterTask:
    """The task of stage 1: learn from `source`, a diffusers folder, on `data`; None: on scenes, where the
    pipeline is of the default's kind.

    `size` is the (height, width) in pixels that will be served, by default the pipeline's own; `train_size`
    that of the pictures in training, by default `size`. `guidance`: the scale images are to be drawn with by
    default. `cost`: a profile of the machine that will serve, whose seconds are budgeted instead of MACs.
    `prompt_encoder`: a transformers folder whose encoder prompts are routed by, instead of the pipeline's
    text encoder. `latents`: a cache of `data`, that is read instead of pictures. Raises `UsageError`.
    """

    source: Path
    data: str | None
    method: Method
    recipe: Recipe
    size: tuple[int, int] | None = None
    guidance: float = GUIDANCE
    cost: Path | None = None
    prompt_encoder: Path | None = None
    train_size: tuple[int, int] | None = None
    latents: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.guidance <= MAX_GUIDANCE:
            raise UsageError(f"guidance {self.guidance}: give a number from 0 to {MAX_GUIDANCE:g}")


@dataclass(frozen=True, slots=True)
class Run:
    """An opened task: the frozen `pipeline` and `encoder`, samples `seen` in training and `unseen` by it.

    `size`, which is served, and `train_size` are in pixels, (height, width). `cost` is what serving pays,
    `budget` what the loss counts.
    """

    task: RouterTask
    pipeline: DiffusionPipeline
    encoder: PromptEncoder | None
    size: tuple[int, int]
    train_size: tuple[int, int]
    cost: Cost
    budget: Budget
    seen: NamedSource
    unseen: NamedSource

    @classmethod
    def open(cls, task: RouterTask, *, recompute: bool = False) -> "Run":
        """Open everything at once, so that what is missing is missed before hours are spent.

        `recompute` trades time for memory by gradient checkpointing. Raises `UsageError` and `DataError`.
        """
        pipeline = _pipeline(task.source, recompute)
        size = chosen_size(pipeline, task.size)
        train_size = chosen_size(pipeline, task.train_size or size)
        data = chosen(task.data, task.source, draws_scenes=draws_scenes(pipeline.unet.config))
        cost, budget = costs(
            pipeline, discover(pipeline.unet), size, task.method, task.cost, train_size=train_size
        )
        encoder = read_prompt_encoder(task.prompt_encoder) if task.prompt_encoder else None
        fits, seed = Window(pipeline.tokenizer), task.recipe.seed
        seen = open_source(data, seed=seed, size=train_size, fits=fits)
        unseen = open_source(data, seed=seed, split="test", size=train_size, fits=fits)
        return cls(task, pipeline, encoder, size, train_size, cost, budget, seen, unseen)

    @property
    def encode(self) -> Encode:
        """The encoder of prompts that are to be routed."""
        return self.encoder or TextEncoding(self.pipeline.tokenizer, self.pipeline.text_encoder)


def _pipeline(source: Path, recompute: bool) -> DiffusionPipeline:
    pipeline = read_pipeline(source, torch.float32)
    if not isinstance(pipeline, StableDiffusionPipeline):
        raise UsageError(
            f"{source} is a {type(pipeline).__name__}; stage 1 trains pipelines with one text encoder"
        )
    classic_attention(pipeline.unet, pipeline.vae)
    if recompute:
        pipeline.unet.enable_gradient_checkpointing()
    return pipeline
