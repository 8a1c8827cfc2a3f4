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
) -> tuple[Cost, Budget]:
    """Return what serving pays at `size`, (height, width) in pixels, and what the budget loss counts.

    Serving pays in true MACs, or in the seconds of `profile`. Raises `UsageError`, `TableError`.
    """
    config, scale = dict(pipeline.unet.config), pipeline.vae_scale_factor
    height, width = size[0] // scale, size[1] // scale
    tokens = int(pipeline.tokenizer.model_max_length)
    if profile is not None:
        if not method.true_macs:
            raise UsageError("this method counts MACs in its own way, not seconds: add --set true_macs=true")
        seconds = table_cost(read(profile), space, height, width, tokens)
        return seconds, Budget(seconds, method.budget)
    true = mac_cost(config, space, height, width, tokens)
    if method.true_macs:
        return true, Budget(true, method.budget)
    single = mac_cost(config, space, height, width, 1)
    counted = published_cost(config, single, height, width)
    return true, Budget(counted, method.budget, prunable=True)


def unit(profile: Path | None) -> dict[str, Any]:
    """Tell what a budget is measured in, as plain values."""
    if profile is None:
        return {"in": "MACs"}
    found = read(profile)
    digest = hashlib.sha256(to_json(found)).hexdigest()
    return {"in": "seconds", "profile": digest, **asdict(found.setting)}
