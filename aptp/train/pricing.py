"""The price of architectures in stage 1: MACs, or the seconds of a measured machine."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline

from aptp.space.cost import Cost, mac_cost
from aptp.space.groups import Space
from aptp.space.measured_cost import table_cost
from aptp.space.profile_file import read, to_json
from aptp.train.budget import Budget, published_cost
from aptp.train.method import Method
from runtime.errors import UsageError


def costs(
    pipeline: DiffusionPipeline,
    space: Space,
    size: tuple[int, int],
    method: Method,
    profile: Path | None = None,
    *,
    train_size: tuple[int, int] | None = None,
) -> tuple[Cost, Budget]:
    """Return what serving pays at `size`, and what the budget loss counts: there, or at `train_size` where
    `method` says so. Sizes are (height, width) in pixels.

    Serving pays in true MACs, or in the seconds of `profile`. Raises `UsageError`, `TableError`.
    """
    config, scale = dict(pipeline.unet.config), pipeline.vae_scale_factor
    tokens = int(pipeline.tokenizer.model_max_length)
    counted = size if method.served_budget else train_size or size
    served_at, counted_at = ((height // scale, width // scale) for height, width in (size, counted))
    if profile is not None:
        if not method.true_macs:
            raise UsageError("this method counts MACs in its own way, not seconds: add --set true_macs=true")
        measured = read(profile)
        seconds = table_cost(measured, space, *served_at, tokens)
        return seconds, Budget(table_cost(measured, space, *counted_at, tokens), method.budget)
    true = mac_cost(config, space, *served_at, tokens)
    if method.true_macs:
        return true, Budget(mac_cost(config, space, *counted_at, tokens), method.budget)
    single = mac_cost(config, space, *counted_at, 1)
    published = published_cost(config, single, *counted_at)
    return true, Budget(published, method.budget, prunable=True)


def unit(profile: Path | None) -> dict[str, Any]:
    """Tell what a budget is measured in, as plain values."""
    if profile is None:
        return {"in": "MACs"}
    found = read(profile)
    digest = hashlib.sha256(to_json(found)).hexdigest()
    return {"in": "seconds", "profile": digest, **asdict(found.setting)}
