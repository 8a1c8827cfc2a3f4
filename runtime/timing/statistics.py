"""Samples to the numbers that are told of them. Refuses to name a percentile that the samples cannot show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Summary:
    """Seconds of `count` samples. `cov`: standard deviation over mean.

    A percentile is a sample that was measured (nearest rank), and None where there are too few to have one:
    10 for `p90`, 100 for `p99`; `cov` needs 2.
    """

    count: int
    p50: float
    p90: float | None
    p99: float | None
    mean: float
    low: float
    high: float
    cov: float | None


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of a ratio, and between which values it lies with 95 % confidence (None: too few pairs)."""

    middle: float
    low: float | None
    high: float | None


def summarize(samples: Sequence[float]) -> Summary:
    """Return the summary of at least one sample."""
    values, count = np.asarray(samples, np.float64), len(samples)
    mean = float(values.mean())
    return Summary(
        count=count,
        p50=float(np.median(values)),
        p90=_percentile(values, 90) if count >= 10 else None,
        p99=_percentile(values, 99) if count >= 100 else None,
        mean=mean,
        low=float(values.min()),
        high=float(values.max()),
        cov=float(values.std(ddof=1)) / mean if count >= 2 else None,
    )


def _percentile(values: np.ndarray[tuple[int], np.dtype[np.float64]], percent: int) -> float:
    return float(np.percentile(values, percent, method="inverted_cdf"))


def speed_up(baseline: Sequence[float], samples: Sequence[float]) -> Ratio | None:
    """How many times as fast `samples` are as `baseline`: the median over rounds of baseline / sample.

    Sample i of both comes from round i, seconds apart, so what slows the machine slows both. None: no round.
    """
    rounds = [one / other for one, other in zip(baseline, samples, strict=False)]
    return median_of(rounds) if rounds else None


def median_of(values: Sequence[float]) -> Ratio:
    """Return the median of at least one value with its confidence interval, which assumes no distribution.

    How many of n values lie below the true median is binomial with 1/2, so a pair of order statistics
    encloses it with a probability that can be counted.
    """
    ordered, count = sorted(values), len(values)
    rank, outside = 0, 0.0
    while rank < count:
        outside += 2 * math.comb(count, rank) / 2**count
        if outside > 1 - CONFIDENCE:
            break
        rank += 1
    low, high = (ordered[rank - 1], ordered[count - rank]) if rank else (None, None)
    return Ratio(float(np.median(ordered)), low, high)
