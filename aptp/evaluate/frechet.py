"""FD-scenes: the Fréchet distance between sets of pictures in the judge's features.

It has the form of FID and none of its calibration: features, and so values, are this project's own. Like
FID it shrinks as pictures get more, so only distances over equally many are comparable.
"""

import numpy as np
import numpy.typing as npt

from runtime.errors import UsageError

Features = npt.NDArray[np.float64]  # [N, D]


def frechet(found: Features, wanted: Features) -> float:
    """Return |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) of two sets of features (Dowson & Landau 1982).

    Raises UsageError for fewer than two of either.
    """
    if min(len(found), len(wanted)) < 2:
        raise UsageError(
            f"a distance between {len(found)} and {len(wanted)} pictures: give two or more of each"
        )
    apart = found.mean(0) - wanted.mean(0)
    one, other = (np.atleast_2d(np.cov(features, rowvar=False)) for features in (found, wanted))
    # (Σ₁Σ₂)^½ has the trace of (Σ₁^½ Σ₂ Σ₁^½)^½, which is symmetric: no complex roots to explain away.
    root = _root(one)
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ other @ root), 0, None)).sum()
    return max(0.0, float(apart @ apart + np.trace(one) + np.trace(other) - 2 * shared))


def _root(matrix: Features) -> Features:
    """Return the symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(matrix)
    root: Features = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root
