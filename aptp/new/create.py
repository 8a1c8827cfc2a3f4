"""Making a checkpoint with random codes at given budgets, to study cost and export before training.

The weights come from a geometry preset (random) or from a local diffusers folder (real); experts are slices
of the dense UNet.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline

from aptp.checkpoint.publishing import check_target
from aptp.checkpoint.reader import Checkpoint
from aptp.checkpoint.record import Record
from aptp.checkpoint.writer import untrained_router, write_checkpoint
from aptp.pipeline import build_pipeline, image_size, read_pipeline
from aptp.presets import DEFAULT_BUDGETS, PRESETS
from aptp.space.architecture import Architecture
from aptp.space.cost import LinearCost, mac_cost
from aptp.space.discover import discover
from aptp.space.groups import Space
from aptp.space.random_architectures import check_budget, draw
from aptp.version import __version__
from runtime.errors import UsageError, nearest

MAX_SEED = 2**62  # seeds are also added to
DTYPES: dict[str, torch.dtype] = {"float16": torch.float16, "float32": torch.float32}
# Any varied captions do: they only centre the untrained router.
CAPTIONS = (
    "a large red circle left of a small blue square",
    "three yellow stars",
    "the word hello in green letters",
    "a painting of a mountain river at sunset",
    "a portrait photo of an old man reading a book",
    "a dog",
    "",
    "an empty street at night, neon signs, rain",
    "two cups of coffee on a wooden table",
)


def create(
    out: Path,
    *,
    preset: str | None = None,
    source: Path | None = None,
    budgets: Sequence[float] = DEFAULT_BUDGETS,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    dtype: str | None = None,
    align: int = 1,
    progress: Callable[[str], None] = lambda stage: None,
) -> tuple[LinearCost, list[tuple[float, Architecture]]]:
    """Write a checkpoint to `out` from a geometry preset or a diffusers folder; exactly one of them.

    `budgets`: one code each, as shares of the dense MACs at `size` (height, width in pixels; by default
    the size the pipeline is made for). `dtype`: how weights are stored, by default float16 for presets
    and as they are for folders. Returns the cost model and the (budget, architecture) pairs. Raises
    UsageError, CheckpointError and StorageError.
    """
    check_target(out)
    _check(preset, source, budgets, seed, dtype, align)
    pipeline, size = _pipeline(preset, source, size, seed, dtype, progress)
    space = discover(pipeline.unet)
    scale = pipeline.vae_scale_factor
    if size[0] % scale or size[1] % scale:
        raise UsageError(f"size {size[0]}x{size[1]}: both sides must be multiples of {scale} pixels")
    length = int(pipeline.tokenizer.model_max_length)
    cost = mac_cost(dict(pipeline.unet.config), space, size[0] // scale, size[1] // scale, length)
    codes = _codes(cost, budgets, seed, align)
    generator = torch.Generator().manual_seed(seed + 1)
    architectures = [architecture for _, architecture in codes]
    router = untrained_router(_encoder(pipeline), CAPTIONS, architectures, generator)
    record = _record(preset or (source or out).name, _is_trained(source), size, space, seed)
    write_checkpoint(out, record, pipeline, codes, router, progress=progress)
    return cost, codes


def _check(
    preset: str | None,
    source: Path | None,
    budgets: Sequence[float],
    seed: int,
    dtype: str | None,
    align: int,
) -> None:
    """Refuse what can be known to be wrong before gigabytes are made."""
    if (preset is None) == (source is None):
        raise UsageError("give either a preset or a diffusers folder to start from")
    for what, name, known in (("preset", preset, PRESETS), ("dtype", dtype, DTYPES)):
        if name is not None and name not in known:
            raise UsageError(f"unknown {what} '{name}'{nearest(name, known)}; choose from {', '.join(known)}")
    if not budgets:
        raise UsageError("give at least one budget")
    for budget in budgets:
        check_budget(budget)
    if not 0 <= seed < MAX_SEED:
        raise UsageError(f"seed {seed} is not between 0 and {MAX_SEED - 1}")
    if align < 1:
        raise UsageError(f"align is {align}; it must be at least 1 channel")


def _is_trained(source: Path | None) -> bool:
    """Return whether the weights are real: those of a folder are, unless it is a checkpoint that says
    otherwise.
    """
    if source is not None and (source / "aptp.json").exists():
        return Checkpoint.open(source).record.trained
    return source is not None


def _pipeline(
    preset: str | None,
    source: Path | None,
    size: tuple[int, int] | None,
    seed: int,
    dtype: str | None,
    progress: Callable[[str], None],
) -> tuple[DiffusionPipeline, tuple[int, int]]:
    progress("weights")
    if source is not None:
        pipeline = read_pipeline(source, DTYPES[dtype] if dtype else None)
        return pipeline, size or image_size(pipeline, "--size WIDTHxHEIGHT")
    assert preset is not None, "checked before"
    geometry = PRESETS[preset]
    pipeline = build_pipeline(geometry, seed, DTYPES[dtype or "float16"])
    return pipeline, size or (geometry.size, geometry.size)


def _codes(
    cost: LinearCost, budgets: Sequence[float], seed: int, align: int
) -> list[tuple[float, Architecture]]:
    streams = np.random.default_rng(seed).spawn(len(budgets))
    return [
        (float(budget), draw(cost, budget, rng, align=align))
        for budget, rng in zip(budgets, streams, strict=True)
    ]


def _record(name: str, trained: bool, size: tuple[int, int], space: Space, seed: int) -> Record:
    return Record(
        name=name,
        trained=trained,
        size=size,
        depth=tuple(gate.module for gate in space.depths),
        feed_forward_gates=space.feed_forward_gates,
        codes=(),
        provenance={
            "made_by": "aptp.new",
            "aptp": __version__,
            "seed": seed,
            "codes": "random",
            "data": None,
        },
    )


def _encoder(pipeline: DiffusionPipeline) -> Callable[[str], tuple[torch.Tensor, torch.Tensor]]:
    tokenizer, model = pipeline.tokenizer, pipeline.text_encoder

    @torch.no_grad()
    def encode(prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = tokenizer(prompt, padding="max_length", truncation=True, return_tensors="pt")
        return model(tokens.input_ids)[0], tokens.attention_mask

    return encode
