"""Shares with their confidence intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Z = 1.959964  # a normal variable lies within ± this 95 % of the time
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Rate:
    """A share: `hits` out of `count`.

    Partial hits (shares of letters) make the interval too wide, never too narrow.
    """

    hits: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Rate":
        return cls(float(sum(values)), len(values))

    @property
    def share(self) -> float:
        """`hits` / `count`; NaN where nothing was counted."""
        return self.hits / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of 95 %, by Wilson's score (1927); all of 0 … 1 where nothing was counted."""
        if not self.count:
            return 0.0, 1.0
        n, p = self.count, self.share
        centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
        reach = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
        return max(0.0, centre - reach), min(1.0, centre + reach)


def bootstrap(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean of `values`, by resampling them; NaN for none."""
    if not len(values):
        return math.nan, math.nan
    drawn = np.random.default_rng(seed).choice(np.asarray(values, np.float64), (RESAMPLES, len(values)))
    low, high = np.quantile(drawn.mean(1), (0.025, 0.975))
    return float(low), float(high)
