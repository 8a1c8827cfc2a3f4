"""The threshold of out-of-distribution detection, from the distances of held-out prompts."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aptp.data.sample import SampleSource
from aptp.model.mahalanobis import MahalanobisDetector
from aptp.ood.clusters import fit
from aptp.ood.prompts import Progress, Reader
from runtime.errors import UsageError

CLUSTERS, PROMPTS, SHARE = 4, 16384, 1e-3
AT_ONCE = 1024  # prompts compared with all clusters


@dataclass(frozen=True, slots=True)
class Limit:
    """A threshold and its measured false-positive rate.

    `threshold`: the distance that `share` of one half of the held-out prompts exceed; `measured`: the share
    of the other half that does, of `held_out` prompts in each.
    """

    detector: MahalanobisDetector
    threshold: float
    share: float
    measured: float
    held_out: int


def measure(
    read: Reader,
    train: SampleSource,
    test: SampleSource,
    *,
    prompts: int = PROMPTS,
    clusters: int = CLUSTERS,
    share: float = SHARE,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> Limit:
    """Fit the distance on `prompts` captions of `train`, and its limit on as many of `test`.

    Raises UsageError where so many prompts cannot show so small a share.
    """
    half = prompts // 2
    if not 0 < share < 1 or half * share < 1:
        least = math.ceil(2 / share) if 0 < share < 1 else 2
        raise UsageError(
            f"a share of {share:g} cannot be measured on {half} prompts; take a share between 0 and 1, "
            f"and at least {least} prompts"
        )

    def captions(source: SampleSource) -> list[str]:
        return [source[i].caption for i in range(prompts)]

    detector = fit(read(captions(train), progress), clusters, torch.Generator().manual_seed(seed))
    unseen = distances(detector, read(captions(test), progress))
    threshold = float(torch.quantile(unseen[:half], 1 - share, interpolation="higher"))
    measured = float((unseen[half:] > threshold).double().mean())
    return Limit(detector, threshold, share, measured, half)


@torch.no_grad()
def distances(detector: MahalanobisDetector, pooled: Tensor) -> Tensor:
    """Return the distance [N] of each of `pooled` [N, E]; a few at a time, to spare memory."""
    parts = [detector.of(pooled[start : start + AT_ONCE]) for start in range(0, len(pooled), AT_ONCE)]
    return torch.cat(parts)
