"""The budget: its term in the loss, and the last adjustment that meets it exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor

from aptp.space.architecture import THRESHOLD, Architecture, harden
from aptp.space.cost import Cost, LinearCost
from aptp.space.groups import Kind, Space
from aptp.space.macs import module_macs
from runtime.errors import BudgetError

HALVINGS = 40
TOLERANCE = 0.01  # of the target


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget of cost.

    `target`: share of dense `cost` aimed at; where `prunable`, both are counted, as published, without what
    no gate can save. Raises BudgetError where that leaves nothing.
    """

    cost: Cost
    target: float
    prunable: bool = False

    def __post_init__(self) -> None:
        if self.aim <= 0:
            floor = self.cost.base / self.cost.dense
            raise BudgetError(
                f"a budget of {self.target} cannot be met: {floor:.3f} of the dense cost is never pruned"
            )

    @property
    def aim(self) -> float:
        """The value of `ratios` aimed at."""
        return (self.target * self.cost.dense - self._spared) / (self.cost.dense - self._spared)

    def ratios(self, gates: Tensor) -> Tensor:
        """Return the cost [N] of each row of `gates` [N, D], as a share of what is counted of dense."""
        return (self.cost(gates) - self._spared) / (self.cost.dense - self._spared)

    @property
    def _spared(self) -> float:
        return self.cost.base if self.prunable else 0.0


def published_cost(config: Mapping[str, Any], cost: LinearCost, height: int, width: int) -> LinearCost:
    """Return `cost` as the published code counts it: one text token, and cross-attention's products charged
    as self-attention's (N × N). `cost` itself is `mac_cost` with one token.
    """
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    macs = module_macs(unet, height, width, 1)
    per_gate = cost.per_gate.copy()
    for group, columns in cost.space.columns():
        if group.kind is Kind.CROSS_ATTENTION:
            beside = group.module.removesuffix("attn2") + "attn1"
            per_gate[columns] += (macs[beside] - macs[group.module]) / group.gates
    return replace(cost, per_gate=per_gate)


def fit(
    cost: Cost, logits: NDArray[np.float64], target: float, *, align: int = 1
) -> tuple[Architecture, ...]:
    """Return the architectures of codes whose mean cost is `target` of dense, as near as their gates allow.

    One number is added to all `logits` [K, D] (gates above 0 are kept), found by bisection: which gates go
    first, and how the codes differ, stays as it was learned. Where a sublayer that comes or goes is too large
    a step, sublayers stay as they are then, and the number is found once more for widths alone. Raises
    BudgetError where that cannot bring the mean within `TOLERANCE`.
    """
    best = _shifted(cost, logits, target, align)
    if _miss(cost, best, target) > TOLERANCE:
        best = _shifted(cost, _settled(logits, best), target, align)
    if _miss(cost, best, target) > TOLERANCE:
        reached = _mean_cost(cost, best) / cost.dense
        raise BudgetError(
            f"the codes cannot be brought to {target:.3f} of dense; the nearest is {reached:.3f}"
        )
    return best


def _shifted(cost: Cost, logits: NDArray[np.float64], target: float, align: int) -> tuple[Architecture, ...]:
    """Return the nearest that one shift of all logits comes to the target."""
    reach = float(np.abs(logits).max()) + 1.0
    low, high = -reach, reach
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _mean_cost(cost, _hardened(cost.space, logits + middle, align)) < target * cost.dense:
            low = middle
        else:
            high = middle
    found = [_hardened(cost.space, logits + shift, align) for shift in (low, high)]
    return min(found, key=lambda codes: _miss(cost, codes, target))


def _settled(logits: NDArray[np.float64], codes: Sequence[Architecture]) -> NDArray[np.float64]:
    """Return `logits` whose depths are those of `codes`, whatever shift the widths need."""
    settled, first = logits.copy(), codes[0].space.width_gates
    far = 2 * float(np.abs(logits).max()) + 2
    settled[:, first:] = [np.where(code.keep[first:], far, -far) for code in codes]
    return settled


def _hardened(space: Space, logits: NDArray[np.float64], align: int) -> tuple[Architecture, ...]:
    return tuple(harden(space, code + THRESHOLD, align=align) for code in logits)


def _mean_cost(cost: Cost, codes: Sequence[Architecture]) -> float:
    return float(np.mean([cost.of(code) for code in codes]))


def _miss(cost: Cost, codes: Sequence[Architecture], target: float) -> float:
    """Return how far off the target, as a share of it."""
    return abs(_mean_cost(cost, codes) / (target * cost.dense) - 1)
