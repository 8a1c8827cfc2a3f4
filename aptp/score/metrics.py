"""The metrics: which encoder each reads, what it is called, and its value over a set of pictures.

A metric has its published name where its encoder has the weights that the name stands for, and another name
everywhere else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from aptp.score.distances import SCALE, FrechetReference, KernelReference, KernelSums, cubic, gaussian
from aptp.score.features import Features
from aptp.score.intervals import GROUPS, Jackknife, bootstrap, groups

INCEPTION, CMMD_CLIP, CLIP = "inception", "cmmd-clip", "clip"
FID, KID, CMMD, CLIP_SCORE = "fid", "kid", "cmmd", "clip"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric reads the features of `encoder`. `name`: as published; `otherwise`: of other weights."""

    encoder: str
    name: str
    otherwise: str
    lower_is_better: bool = True

    def called(self, published: bool) -> str:
        return self.name if published else self.otherwise


METRICS = {
    FID: Metric(INCEPTION, "FID", "Fréchet distance (other weights)"),
    KID: Metric(INCEPTION, "KID", "cubic MMD² (other weights)"),
    CMMD: Metric(CMMD_CLIP, "CMMD", "Gaussian MMD² (another CLIP)"),
    CLIP_SCORE: Metric(CLIP, "CLIP score", "CLIP score", lower_is_better=False),
}
DISTANCES = (FID, KID, CMMD)


@dataclass(frozen=True, slots=True)
class Score:
    """A value over `count` pictures.

    `interval`: of 95 %; `bias`: the part due to `count`, where it shrinks as one over it; `half`: the mean
    value over each half of the pictures. None where it is not known, or has no meaning.
    """

    value: float
    count: int
    interval: tuple[float, float] | None = None
    bias: float | None = None
    half: float | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "value": self.value,
            "n": self.count,
            "interval": list(self.interval) if self.interval else None,
            "bias": self.bias,
            "half": self.half,
        }


class Distance(Protocol):
    """A distance from one reference."""

    def __call__(self, features: Features) -> Jackknife:
        """Return the value, with replicates where there are enough pictures for them."""
        ...

    def alone(self, features: Features) -> float: ...


class _Frechet:
    def __init__(self, reference: Features) -> None:
        self._reference = FrechetReference(reference)

    def __call__(self, features: Features) -> Jackknife:
        projected = self._reference.project(features)

        def over(rows: Any) -> float:
            return self._reference.distance(features[rows], projected[rows])

        return Jackknife(
            over(slice(None)), _replicates(features, lambda group, labels: over(labels != group))
        )

    def alone(self, features: Features) -> float:
        return self._reference.distance(features, self._reference.project(features))


class _Kernel:
    def __init__(
        self,
        reference: KernelReference,
        statistic: Callable[[KernelSums, int | None], float],
        scale: float = 1.0,
    ) -> None:
        self._reference, self._statistic, self._scale = reference, statistic, scale

    def __call__(self, features: Features) -> Jackknife:
        sums = KernelSums(features, groups(len(features)), self._reference)
        replicates = _replicates(features, lambda group, _: self._scale * self._statistic(sums, group))
        return Jackknife(self._scale * self._statistic(sums, None), replicates)

    def alone(self, features: Features) -> float:
        sums = KernelSums(features, np.zeros(len(features), np.int64), self._reference)
        return self._scale * self._statistic(sums, None)


def _replicates(features: Features, over: Callable[[int, npt.NDArray[np.int64]], float]) -> tuple[float, ...]:
    """Return the value without each group in turn; none for pictures too few to leave some out."""
    if len(features) < 2 * GROUPS:
        return ()
    labels = groups(len(features))
    return tuple(over(group, labels) for group in range(GROUPS))


def distances(reference: Mapping[str, Features], metrics: tuple[str, ...]) -> dict[str, Distance]:
    """Return the distances among `metrics` from reference features by encoder.

    Raises UsageError for fewer than two reference pictures.
    """
    found: dict[str, Distance] = {}
    for metric in metrics:
        if metric == FID:
            found[metric] = _Frechet(reference[INCEPTION])
        elif metric == KID:
            cubes = KernelReference(reference[INCEPTION], cubic)
            found[metric] = _Kernel(cubes, cubes.unbiased)
        elif metric == CMMD:
            bells = KernelReference(reference[CMMD_CLIP], gaussian)
            found[metric] = _Kernel(bells, bells.biased, SCALE)
    return found


def distance_score(distance: Distance, features: Features, found: Jackknife) -> Score:
    """Return a distance over all pictures, and what it is over half of them."""
    halves = [distance.alone(features[start::2]) for start in (0, 1)] if found.replicates else []
    half = float(np.mean(halves)) if halves else None
    return Score(found.value, len(features), found.interval, found.bias, half)


def mean_score(values: npt.NDArray[np.float64]) -> Score:
    """Return the mean of a value per picture."""
    return Score(float(values.mean()), len(values), bootstrap(values.tolist()) if len(values) > 1 else None)


def difference(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> Score:
    """Return the mean difference of values of the same captions."""
    return mean_score(one - other)
