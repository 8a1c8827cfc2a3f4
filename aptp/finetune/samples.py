"""The samples that stage 2 learns from and is validated on, routed by the checkpoint itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from aptp.checkpoint.reader import Checkpoint
from aptp.data.captions import Window
from aptp.data.sources import open_source
from aptp.finetune.routes import HELD_OUT, NAME, Classify, Routes
from aptp.finetune.turns import Turns, turns
from aptp.model.encoding import Encode, TextEncoding
from aptp.trainer import validation
from aptp.trainer.recipe import Recipe
from runtime.errors import DataError, UsageError


class Samples(NamedTuple):
    """Samples of the tuned codes in turns: those `seen` in training, and `unseen` ones if they were asked
    for. `about` identifies the data.
    """

    seen: Turns
    unseen: Turns | None
    about: Mapping[str, Any]


def open_samples(
    checkpoint: Checkpoint,
    pipeline: DiffusionPipeline,
    codes: Sequence[int],
    *,
    data: str,
    size: tuple[int, int],
    recipe: Recipe,
    folder: Path,
    device: torch.device,
    unseen: bool,
) -> Samples:
    """Open `data`, pictures of `size` (height, width) in pixels, and route its captions on `device`; `folder`
    keeps the routes.

    Raises UsageError, DataError and StorageError.
    """
    classify = classifier(checkpoint, pipeline, device)

    def opened(split: str, name: str, count: int) -> tuple[Turns, Mapping[str, Any]]:
        fits = Window(pipeline.tokenizer)
        source = open_source(data, seed=recipe.seed, split=split, size=size, fits=fits)
        identity = {"checkpoint": checkpoint.digest(), "data": source.about, "seed": recipe.seed}
        routes = Routes(source.captions(), classify, folder / name, identity)
        return turns(source, routes, codes, count), source.about

    seen, about = opened("train", NAME, recipe.steps * recipe.batch)
    if not unseen:
        return Samples(seen, None, about)
    try:
        held_out, _ = opened("test", HELD_OUT, max(validation.ROWS, recipe.batch))
    except DataError as error:
        raise UsageError(
            f"there are no held-out samples to validate on or to draw ({error}): leave out --validate-every "
            "and --draw-every"
        ) from error
    return Samples(seen, held_out, about)


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
