"""The task of encoding: which pipeline, which samples, how exactly."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline

from aptp.checkpoint.reader import Checkpoint
from aptp.checkpoint.record import INDEX
from aptp.data.captions import Window
from aptp.data.option import chosen
from aptp.data.sample import NamedSource
from aptp.data.sources import open_source
from aptp.encode.choices import PRECISIONS
from aptp.pipeline import chosen_size, classic_attention, draws_scenes, read_pipeline
from aptp.trainer.feed import encodings_identity
from aptp.trainer.precision import check_name, check_precision
from runtime.errors import UsageError


@dataclass(frozen=True, slots=True)
class EncodeTask:
    """Encode the first `samples` of `data` (one pass over it by default) with the encoders of `source`, a
    diffusers folder; `data` is None for scenes, where the pipeline is of the default's kind.

    `size`: (height, width) in pixels, by default what a checkpoint serves or the pipeline's own. `seed`: of
    the order and of crops, as in training. `precision`: of the VAE's autocast, `bf16`, `fp16` or `no`, and
    that of the training; moments are kept in the dtype that it gives. `text`: how token embeddings are kept,
    one of PRECISIONS. `batch`: samples at once. `workers`: processes that load data ahead. Raises UsageError.
    """

    source: Path
    data: str | None
    samples: int | None = None
    size: tuple[int, int] | None = None
    seed: int = 0
    precision: str = "bf16"
    text: str = "float32"
    batch: int = 64
    workers: int = 0

    def __post_init__(self) -> None:
        for name, value, least in (
            ("samples", self.samples, 1),
            ("batch", self.batch, 1),
            ("workers", self.workers, 0),
        ):
            if value is not None and value < least:
                raise UsageError(f"--{name} is {value}; it must be at least {least}")
        check_name(self.precision)
        if self.text not in PRECISIONS:
            raise UsageError(f"--text {self.text}: use one of {', '.join(PRECISIONS)}")


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened task. `samples` and `identity` are those of the cache it makes."""

    task: EncodeTask
    pipeline: DiffusionPipeline
    source: NamedSource
    samples: int
    identity: dict[str, Any]
    device: torch.device

    @classmethod
    def open(cls, task: EncodeTask) -> "Opened":
        """Read the pipeline, list the data. Raises UsageError, CheckpointError and DataError."""
        device = this_device()
        check_precision(task.precision, device)
        pipeline = read_pipeline(task.source, torch.float32)
        if not isinstance(pipeline, StableDiffusionPipeline):
            raise UsageError(
                f"{task.source} is a {type(pipeline).__name__}; pipelines with one text encoder are encoded"
            )
        classic_attention(pipeline.vae)  # as in training
        size = chosen_size(pipeline, task.size or _served(task.source))
        data = chosen(task.data, task.source, draws_scenes=draws_scenes(pipeline.unet.config))
        source = open_source(data, seed=task.seed, size=size, fits=Window(pipeline.tokenizer))
        samples = task.samples or source.count
        if samples is None:
            raise UsageError(f"{data} has no end: say with --samples how many to encode")
        identity = encodings_identity(pipeline, source, size, task.precision)
        identity |= {"seed": task.seed, "samples": samples, "text": task.text, "batch": task.batch}
        for part in (pipeline.vae, pipeline.text_encoder):
            part.requires_grad_(False).eval().to(device)
        return cls(task, pipeline, source, samples, identity, device)


def _served(folder: Path) -> tuple[int, int] | None:
    """Return the (height, width) in pixels that a checkpoint serves; None for any other folder."""
    return Checkpoint.open(folder).record.size if (folder / INDEX).is_file() else None


def this_device() -> torch.device:
    """Return this process's device: of the processes that a launcher starts, each has its own."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if found is None:
        return torch.device("cpu")
    return torch.device(found.type, int(os.environ.get("LOCAL_RANK", "0")) % torch.accelerator.device_count())
