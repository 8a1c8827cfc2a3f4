"""The whole UNets that the sum of the pieces is compared with: the dense one, and one that is pruned."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from aptp.model.sliced import SlicedUNet, config_of
from aptp.space.architecture import Architecture, full
from aptp.space.cost import LinearCost
from aptp.space.random_architectures import draw
from export.profile.calls import Replay, TracedCall
from export.profile.pieces import filled
from runtime.errors import BudgetError

SHARE = 0.6  # of the dense MACs


def architectures(cost: LinearCost) -> tuple[Architecture, ...]:
    """Return the dense architecture, and a random one where the space has one of that cost."""
    dense = full(cost.space)
    try:
        return dense, draw(cost, SHARE, np.random.default_rng(0))
    except BudgetError:
        return (dense,)


def build(config: Mapping[str, Any], architecture: Architecture, call: TracedCall) -> Replay:
    """Build the dense UNet of `config`, sliced, with random weights; called as in `call`."""
    dense = {name: value for name, value in config.items() if not name.startswith("_")}
    with torch.device("meta"):
        unet = SlicedUNet(architecture=config_of(architecture), **dense)
    return filled(Replay(unet, call))
