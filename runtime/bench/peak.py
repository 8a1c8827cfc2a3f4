"""This machine's peak, measured in the same run: a large product of matrices, in numpy.

NumPy multiplies in float32 only, so an engine that computes in bfloat16 or int8 can be above this peak.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

DTYPE = "float32"
SIDE = 2048
CALLS = 5


@dataclass(slots=True)
class Peak:
    """Seconds of each product [side, side] x [side, side], by when they were measured."""

    side: int = SIDE
    dtype: str = DTYPE
    samples: dict[str, list[float]] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Multiply-accumulates per second of the fastest product."""
        return self.side**3 / min(min(samples) for samples in self.samples.values())

    def measure(self, when: str, clock: Callable[[], float] = time.perf_counter) -> None:
        """Take the samples of one moment, `before` or `after` all else: they differ where clocks fell."""
        rng = np.random.default_rng(0)
        # Random numbers: zeros multiply faster on some machines.
        left, right = (rng.standard_normal((self.side, self.side), np.float32) for _ in range(2))
        out = left @ right
        taken = self.samples.setdefault(when, [])
        for _ in range(CALLS):
            start = clock()
            np.matmul(left, right, out=out)
            taken.append(clock() - start)
