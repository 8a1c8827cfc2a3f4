"""Distances between sets of features: Fréchet's (FID), and squared maximum mean discrepancies (KID, CMMD)."""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from runtime.errors import UsageError

Features = npt.NDArray[np.floating]  # [N, D]
Matrix = npt.NDArray[np.float64]
Kernel = Callable[[Matrix, Matrix], Matrix]  # of [M, D] and [N, D], [M, N]

AT_ONCE = 1024  # rows compared with as many others at once
SIGMA, SCALE = 10.0, 1000.0  # of CMMD (Jayasumana et al. 2024)


class FrechetReference:
    """A set of features that others are compared with.

    Raises UsageError for fewer than two.
    """

    def __init__(self, features: Features) -> None:
        _at_least_two(len(features), len(features))
        self.count = len(features)
        self.mean = features.mean(0, dtype=np.float64)
        self._features = features

    @cached_property
    def _factor(self) -> Matrix:
        """Return B [D, r], r as small as can be, of which B Bᵀ is the covariance."""
        count, width = self._features.shape
        centred = self._features.astype(np.float64) - self.mean
        if count <= width:
            few: Matrix = np.ascontiguousarray(centred.T) / np.sqrt(count - 1)
            return few
        values, vectors = np.linalg.eigh(centred.T @ centred / (count - 1))
        factor: Matrix = vectors * np.sqrt(np.clip(values, 0, None))
        return factor

    @cached_property
    def _spread(self) -> float:
        return float(np.square(self._factor).sum())

    def project(self, features: Features) -> Matrix:
        """Return `features` [N, D] times B: what `distance` takes beside them."""
        rows = range(0, len(features), AT_ONCE)
        return np.concatenate([features[i : i + AT_ONCE].astype(np.float64) @ self._factor for i in rows])

    def distance(self, features: Features, projected: Matrix) -> float:
        """Return |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) (Dowson & Landau 1982).

        Raises UsageError for fewer than two features.
        """
        count = len(features)
        _at_least_two(count, self.count)
        mean = features.mean(0, dtype=np.float64)
        spread = sum(
            float(np.square(features[i : i + AT_ONCE].astype(np.float64) - mean).sum())
            for i in range(0, count, AT_ONCE)
        ) / (count - 1)
        # (Σ₁Σ₂)^½ has the trace of (BᵀΣ₁B)^½, which is symmetric: no complex roots to explain away. Of the
        # two products of the centred rows with themselves, the smaller one has the same eigenvalues.
        centred = projected - projected.mean(0)
        gram = centred.T @ centred if count >= centred.shape[1] else centred @ centred.T
        shared = np.sqrt(np.clip(np.linalg.eigvalsh(gram / (count - 1)), 0, None)).sum()
        apart = mean - self.mean
        return max(0.0, float(apart @ apart + spread + self._spread - 2 * shared))


def frechet(found: Features, wanted: Features) -> float:
    """Return the Fréchet distance of two sets of features. Raises UsageError for fewer than two of either."""
    _at_least_two(len(found), len(wanted))
    reference = FrechetReference(wanted)
    return reference.distance(found, reference.project(found))


def _at_least_two(one: int, other: int) -> None:
    if min(one, other) < 2:
        raise UsageError(f"a distance between {one} and {other} pictures: give two or more of each")


def cubic(one: Matrix, other: Matrix) -> Matrix:
    """Return (x·y / D + 1)³, the kernel of KID (Bińkowski et al. 2018)."""
    result: Matrix = (one @ other.T / one.shape[1] + 1) ** 3
    return result


def gaussian(one: Matrix, other: Matrix) -> Matrix:
    """Return exp(−|x − y|² / 2σ²), the kernel of CMMD."""
    squares = np.square(one).sum(1)[:, None] + np.square(other).sum(1) - 2 * one @ other.T
    result: Matrix = np.exp(np.clip(squares, 0, None) / (-2 * SIGMA**2))
    return result


def total(kernel: Kernel, one: Features, other: Features) -> float:
    """Return the sum of the kernel over all pairs, in float64 and a block at a time."""
    return sum(
        float(kernel(_block(one, i), _block(other, j)).sum())
        for i in range(0, len(one), AT_ONCE)
        for j in range(0, len(other), AT_ONCE)
    )


def of_itself(kernel: Kernel, features: Features) -> float:
    """Return the sum of k(x, x) over a set."""
    blocks = (_block(features, i) for i in range(0, len(features), AT_ONCE))
    return sum(float(kernel(row, row)[0, 0]) for block in blocks for row in block[:, None])


class KernelReference:
    """A set of features that others are compared with by a kernel."""

    def __init__(self, features: Features, kernel: Kernel) -> None:
        self.features, self.kernel, self.count = features, kernel, len(features)

    @cached_property
    def _own(self) -> tuple[float, float]:
        """Return the sum of the kernel over all pairs, and over each feature with itself."""
        return total(self.kernel, self.features, self.features), of_itself(self.kernel, self.features)

    def unbiased(self, sums: "KernelSums", without: int | None = None) -> float:
        """Return the U-statistic of the squared discrepancy (Gretton et al. 2012), of all groups or `without`
        one. Raises UsageError for fewer than two features.
        """
        found, (own, itself) = sums.over(without), self._own
        n, m = found.size, self.count
        _at_least_two(n, m)
        apart = (found.within - found.itself) / (n * (n - 1)) + (own - itself) / (m * (m - 1))
        return apart - 2 * found.across / (n * m)

    def biased(self, sums: "KernelSums", without: int | None = None) -> float:
        """Return the V-statistic of the same."""
        found, m = sums.over(without), self.count
        n = found.size
        return found.within / n**2 + self._own[0] / m**2 - 2 * found.across / (n * m)


class Sums(NamedTuple):
    """Sums of a kernel: over pairs `within` a set of `size`, over each with `itself`, and `across` to the
    reference.
    """

    size: int
    within: float
    itself: float
    across: float


class KernelSums:
    """Sums of a kernel over a set, by pairs of groups, so that any group may be left out later."""

    def __init__(self, features: Features, labels: npt.NDArray[np.int64], reference: KernelReference) -> None:
        """Compare `features` [N, D] with each other and with `reference`; `labels` [N] are their groups."""
        kernel, count = reference.kernel, int(labels.max(initial=0)) + 1
        parts = [features[labels == group] for group in range(count)]
        self._counts = np.array([len(part) for part in parts])
        self._itself = np.array([of_itself(kernel, part) for part in parts])
        self._across = np.array([total(kernel, part, reference.features) for part in parts])
        pairs = [
            [total(kernel, parts[i], parts[j]) if i <= j else 0.0 for j in range(count)] for i in range(count)
        ]
        self._within = np.array(pairs) + np.triu(pairs, 1).T

    def over(self, without: int | None = None) -> Sums:
        """Return the sums over all groups but one."""
        kept = np.arange(len(self._counts)) != (-1 if without is None else without)
        within = float(self._within[np.ix_(kept, kept)].sum())
        return Sums(
            int(self._counts[kept].sum()),
            within,
            float(self._itself[kept].sum()),
            float(self._across[kept].sum()),
        )


def _block(features: Features, start: int) -> Matrix:
    return features[start : start + AT_ONCE].astype(np.float64)
