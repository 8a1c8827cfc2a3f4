"""Random architectures of a given cost, for studies of cost and export without trained codes."""

import numpy as np

from aptp.space.architecture import Architecture, full, harden
from aptp.space.cost import LinearCost
from aptp.space.groups import Space
from runtime.errors import BudgetError

# Share of the depth gates closed per unit of cost removed: half the MACs gone closes five of SD 2.1's
# fourteen.
DEPTH_SHARE = 0.72
TOLERANCE = 0.005


def draw(cost: LinearCost, budget: float, rng: np.random.Generator, *, align: int = 1) -> Architecture:
    """Draw a random architecture whose cost is `budget` times dense, within half a percent of dense or one
    gate, whichever is more.

    Widths vary from layer to layer, and which sublayers are skipped is random too. Raises BudgetError for
    budgets outside (0, 1], and for those the space cannot reach.
    """
    space = cost.space
    check_budget(budget)
    if budget == 1:
        return full(space)
    scores = _scores(space, budget, rng)
    low, high = 0.0, 2.0  # added to every width score; bisected until the cost fits
    for _ in range(40):
        middle = (low + high) / 2
        if cost.of(_shifted(space, scores, middle, align)) < budget * cost.dense:
            low = middle
        else:
            high = middle
    found = min(
        (_shifted(space, scores, shift, align) for shift in (low, high)),
        key=lambda architecture: abs(cost.of(architecture) / cost.dense - budget),
    )
    reached = cost.of(found) / cost.dense
    if abs(reached - budget) > max(TOLERANCE, _largest_step(cost)):
        raise BudgetError(
            f"no architecture drawn costs {budget:.3f} of dense; the nearest costs {reached:.3f}"
        )
    return found


def check_budget(budget: float) -> None:
    """Raise BudgetError unless `budget` is a share of dense."""
    if not 0 < budget <= 1:
        raise BudgetError(f"budget {budget} is not in (0, 1]")


def _scores(space: Space, budget: float, rng: np.random.Generator) -> np.ndarray:
    """Return width scores in [-1.5, 0.5] that a shift in [0, 2] moves across the threshold; depth scores
    already hard.
    """
    scores = np.empty(space.size)
    for group, columns in space.columns():
        # Ranks rather than free draws: a group keeps the share of gates its level says, whatever the draw.
        level = 0.3 * rng.random()
        scores[columns] = (rng.permutation(group.gates) + 0.5) / group.gates * 1.7 + level - 1.5
    closed = min(round(DEPTH_SHARE * (1 - budget) * len(space.depths)), len(space.depths))
    scores[space.width_gates :] = 1.0
    scores[space.width_gates + rng.permutation(len(space.depths))[:closed]] = 0.0
    return scores


def _shifted(space: Space, scores: np.ndarray, shift: float, align: int) -> Architecture:
    moved = scores.copy()
    moved[: space.width_gates] += shift
    return harden(space, moved, align=align)


def _largest_step(cost: LinearCost) -> float:
    """Return the finest budget a small space can be held to: its most expensive gate."""
    return float(cost.per_gate.max(initial=0.0) / cost.dense)
