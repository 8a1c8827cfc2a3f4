"""Optimal transport of a batch's prompts to codes with equal shares, and the prices that keep those shares
for single prompts.

Optimal transport is POT's; this module says what is asked of it. No gradient passes through.
"""

from typing import NamedTuple

import numpy as np
import ot
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]


class Exact(NamedTuple):
    """An exact transport plan.

    `plan`: [B, K], of total mass 1. `prices`: [K]; a prompt goes where score + price is largest.
    """

    plan: Floats
    prices: Floats


def sinkhorn(scores: Floats, epsilon: float, iterations: int) -> Floats:
    """Return the entropic plan [B, K] from B prompts to K codes of equal share, by `scores` [B, K]:
    `iterations` times the codes' masses are set, then the prompts'.
    """
    rows, columns = _uniform(scores)
    plan: Floats = ot.sinkhorn(rows, columns, -scores, epsilon, numItermax=iterations, stopThr=0, warn=False)
    return plan


def exact(scores: Floats) -> Exact:
    """Return unregularised transport from B prompts to K codes of equal share: the assignment of the largest
    total score, and its dual prices.
    """
    rows, columns = _uniform(scores)
    plan, log = ot.emd(rows, columns, -scores, log=True)
    return Exact(plan, log["v"])


def array(scores: Tensor) -> Floats:
    found: Floats = scores.detach().double().cpu().numpy()
    return found


def _uniform(scores: Floats) -> tuple[Floats, Floats]:
    prompts, codes = scores.shape
    return np.full(prompts, 1 / prompts), np.full(codes, 1 / codes)
