"""A small space with its cost, and policies over it, for tests that need no UNet to run."""

from dataclasses import replace
from functools import cache
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from aptp.presets import PRESETS as PIPELINES
from aptp.space.cost import LinearCost, mac_cost
from aptp.space.discover import discover
from aptp.space.groups import Space
from aptp.train.gate_policy import GatePolicy
from aptp.train.method import PRESETS, Method
from tests.geometries import GEOMETRIES

WIDTH = 40  # of the prompt embeddings


@cache
def small() -> tuple[Space, LinearCost]:
    """Return the smallest geometry's space and cost: a few dozen gates, two depth gates or more."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**GEOMETRIES["sd2"])
    space = discover(unet)
    return space, mac_cost(dict(unet.config), space, 8, 8, 5)


@cache
def published() -> Space:
    with torch.device("meta"):
        return discover(UNet2DConditionModel(**PIPELINES["sd21"].unet))


def ours(**changes: Any) -> Method:
    return replace(PRESETS["tiny"], **changes)


def theirs(**changes: Any) -> Method:
    return replace(PRESETS["paper"], **{"codes": 4, **changes})


def policy(method: Method, seed: int = 0) -> GatePolicy:
    return GatePolicy(small()[0], method, torch.zeros(WIDTH), 1.0, seed)


def prompts(count: int, seed: int = 0) -> Tensor:
    """[count, E] float32."""
    return torch.randn(count, WIDTH, generator=rng(seed))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spread_codes(policy: GatePolicy, seed: int = 1) -> GatePolicy:
    """The same policy with codes that are pruned, each in its own way."""
    with torch.no_grad():
        offset = policy.method.offset
        policy.codes.copy_(torch.randn(policy.codes.shape, generator=rng(seed)) + 0.3 - offset)
    return policy
