"""The routing of a set of prompts: similarities to every code, codes, margins, distances."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aptp.model.mahalanobis import MahalanobisDetector
from aptp.model.router import Router
from aptp.ood.threshold import distances

Floats = npt.NDArray[np.float64]
PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True, eq=False)
class Landing:
    """The routing of a set of prompts.

    `similarities` [N, K] and `codes` [N] are those that the router serves; `distances` [N] are from the
    training prompts.
    """

    name: str
    prompts: Sequence[str]
    similarities: Floats
    codes: npt.NDArray[np.int64]
    distances: Floats

    @classmethod
    def of(
        cls,
        name: str,
        prompts: Sequence[str],
        pooled: Tensor,
        router: Router,
        detector: MahalanobisDetector,
    ) -> "Landing":
        """Route `prompts` whose embeddings are `pooled` [N, E]. Pooling one token gives that token."""
        tokens, mask = pooled.unsqueeze(1), torch.ones(len(pooled), 1, dtype=torch.int64)
        with torch.no_grad():
            similarities, codes = router(tokens, mask), router.route(tokens, mask)
            far = distances(detector, pooled)
        return cls(name, prompts, similarities.double().numpy(), codes.numpy(), far.double().numpy())

    @property
    def count(self) -> int:
        return len(self.prompts)

    @property
    def width(self) -> int:
        """The number of codes, K."""
        return int(self.similarities.shape[1])

    @cached_property
    def counts(self) -> list[int]:
        """Prompts per code."""
        return [int(count) for count in np.bincount(self.codes, minlength=self.width)]

    @cached_property
    def margins(self) -> Floats:
        """The best similarity minus the next, [N]; infinite where there is one code."""
        if self.width == 1:
            return np.full(self.count, np.inf)
        ordered = np.sort(self.similarities, 1)
        margins: Floats = ordered[:, -1] - ordered[:, -2]
        return margins

    def members(self, code: int) -> list[int]:
        """Return the prompts that go to a code, by their place: those of the largest margin first, none
        twice.
        """
        order = np.argsort(-self.margins, kind="stable")
        seen: dict[str, int] = {}
        for place in order[self.codes[order] == code].tolist():
            seen.setdefault(self.prompts[place], place)
        return list(seen.values())


def quantiles(values: Floats) -> dict[str, float]:
    """Return the 5th, 25th, 50th, 75th and 95th percentile of the values that are finite."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return {}
    return {f"p{p}": round(float(np.percentile(finite, p)), 4) for p in PERCENTILES}
