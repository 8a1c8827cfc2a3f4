"""The samples that stage 2 learns from and is validated on, routed by the checkpoint itself."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import DiffusionPipeline
from rich.console import Console
from torch import Tensor

from aptp.checkpoint.reader import Checkpoint
from aptp.data.sample import NamedSource
from aptp.finetune.routes import HELD_OUT, NAME, Classify, Routes
from aptp.finetune.run import ExpertRun
from aptp.finetune.turns import Turns, turns
from aptp.model.encoding import Encode, TextEncoding
from aptp.model.prompt_encoder import PromptEncoder
from aptp.trainer import distributed, validation
from runtime.cli.terminal import say
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
    recipe, own = task.recipe, task.checkpoint.prompt_encoder()
    classify = classifier(task.checkpoint, run.pipeline, device, own)

    def routed(source: NamedSource, name: str, count: int, told: Mapping[str, Any]) -> Turns:
        identity = {"checkpoint": task.checkpoint.digest(), "data": source.about, "seed": recipe.seed}
        known = Routes(source.captions(), classify, folder / name, {**identity, **told})
        made = turns(source, known, task.codes, count)
        if source.count is not None:
            _tell(name, task.codes, known.first(source.count))
        return made

    with _held_out_needed():  # opened before hours of routing
        unseen = run.held_out() if held_out else None
    seen = routed(run.feed.source, NAME, recipe.steps * recipe.batch, run.feed.identity)
    with _held_out_needed():
        looked = routed(unseen, HELD_OUT, max(validation.ROWS, recipe.batch), {}) if unseen else None
    (own or run.pipeline.text_encoder).to("cpu")  # a training that needs it takes it back
    return Samples(seen, looked)


@contextmanager
def _held_out_needed() -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise UsageError(
            f"there are no held-out samples to validate on or to draw ({error}): leave out --validate-every "
            "and --draw-every"
        ) from error


def _tell(name: str, codes: Sequence[int], routed: Tensor) -> None:
    shares = ", ".join(f"code {code} gets {int((routed == code).sum()):,}" for code in codes)
    terminal = Console(stderr=True, quiet=not distributed.leads())
    say(terminal, f"{name}: of {len(routed):,} captions {shares}")


def classifier(
    checkpoint: Checkpoint, pipeline: DiffusionPipeline, device: torch.device, own: PromptEncoder | None
) -> Classify:
    """Return the checkpoint's routing, in float32 as when prompts are served. `own`: the prompt encoder of
    its router, where that is not the pipeline's.
    """
    router = checkpoint.router().to(device)
    encoder = own or pipeline.text_encoder
    encode: Encode = own or TextEncoding(pipeline.tokenizer, pipeline.text_encoder)

    @torch.no_grad()
    def classify(captions: Sequence[str]) -> Tensor:
        encoder.to(device)
        encoded = encode(captions)
        return router.route(encoded.hidden, encoded.mask)

    return classify
