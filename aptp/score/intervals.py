"""Confidence intervals of 95 %: of shares, of means, and of what is no mean of its pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Z = 1.959964  # a normal variable lies within ± this 95 % of the time
RESAMPLES = 2000
AT_ONCE = 1 << 22  # values drawn again at once
GROUPS = 10  # that a jackknife leaves out, one at a time
T = 2.262157  # Student's, for GROUPS − 1 degrees of freedom


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
    rng, known = np.random.default_rng(seed), np.asarray(values, np.float64)
    rows = max(1, AT_ONCE // len(known))
    sizes = [min(rows, RESAMPLES - start) for start in range(0, RESAMPLES, rows)]
    means = np.concatenate([rng.choice(known, (size, len(known))).mean(1) for size in sizes])
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Jackknife:
    """An estimate over all pictures, and its replicates, each over all pictures but those of one of GROUPS
    groups (Quenouille 1956, Tukey 1958).
    """

    value: float
    replicates: tuple[float, ...]

    @property
    def bias(self) -> float | None:
        """How much of `value` is due to the number of pictures, where that part shrinks as one over it; None
        without replicates.
        """
        if not self.replicates:
            return None
        return (len(self.replicates) - 1) * (float(np.mean(self.replicates)) - self.value)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval of 95 % around `value`, for sets of so many pictures; None without replicates."""
        if not self.replicates:
            return None
        spread = np.asarray(self.replicates) - np.mean(self.replicates)
        count = len(self.replicates)
        reach = T * math.sqrt((count - 1) / count * float(spread @ spread))
        return self.value - reach, self.value + reach

    def __sub__(self, other: "Jackknife") -> "Jackknife":
        """Return the difference from an estimate over the same captions in the same groups."""
        pairs = zip(self.replicates, other.replicates, strict=True)
        return Jackknife(self.value - other.value, tuple(one - two for one, two in pairs))


def groups(count: int) -> npt.NDArray[np.int64]:
    """Return the group [N] of each of `count` pictures: every GROUPS-th is in the same."""
    return np.arange(count) % GROUPS
