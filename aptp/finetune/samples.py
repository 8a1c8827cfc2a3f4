"""The samples that stage 2 learns from and is validated on, routed by the checkpoint itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from aptp.checkpoint.reader import Checkpoint
from aptp.data.sample import NamedSource
from aptp.finetune.routes import HELD_OUT, NAME, Classify, Routes
from aptp.finetune.run import ExpertRun
from aptp.finetune.turns import Turns, turns
from aptp.model.encoding import Encode, TextEncoding
from aptp.trainer import validation
from runtime.errors import DataError, UsageError


class Samples(NamedTuple):
    """Samples of the tuned codes in turns: those `seen` in training, and `unseen` ones if they were asked
    for.
    """

    seen: Turns
    unseen: Turns | None


def open_samples(run: ExpertRun, folder: Path, device: torch.device, *, held_out: bool) -> Samples:
    """Route the captions of a run, and `held_out` ones if they are asked for, on `device`; `folder` keeps
    the routes. Raises UsageError, DataError and StorageError.
    """
    task = run.task
    classify = classifier(task.checkpoint, run.pipeline, device)

    def routed(source: NamedSource, name: str, count: int, told: Mapping[str, Any]) -> Turns:
        identity = {"checkpoint": task.checkpoint.digest(), "data": source.about, "seed": task.recipe.seed}
        known = Routes(source.captions(), classify, folder / name, {**identity, **told})
        return turns(source, known, task.codes, count)

    recipe = task.recipe
    seen = routed(run.feed.source, NAME, recipe.steps * recipe.batch, run.feed.identity)
    if not held_out:
        return Samples(seen, None)
    try:
        unseen = routed(run.held_out(), HELD_OUT, max(validation.ROWS, recipe.batch), {})
    except DataError as error:
        raise UsageError(
            f"there are no held-out samples to validate on or to draw ({error}): leave out --validate-every "
            "and --draw-every"
        ) from error
    return Samples(seen, unseen)


def classifier(checkpoint: Checkpoint, pipeline: DiffusionPipeline, device: torch.device) -> Classify:
    """Return the checkpoint's own routing, in float32 as when prompts are served."""
    router = checkpoint.router().to(device)
    own = checkpoint.prompt_encoder()
    encoder = own or pipeline.text_encoder
    encode: Encode = own or TextEncoding(pipeline.tokenizer, pipeline.text_encoder)

    @torch.no_grad()
    def classify(captions: Sequence[str]) -> Tensor:
        encoder.to(device)
        encoded = encode(captions)
        return router.route(encoded.hidden, encoded.mask)

    return classify
