"""Timing of calls in turns: each is warmed up until it is steady, then bursts of each alternate.

Whatever disturbs the machine for a while disturbs all of them, so their ratios hold where their times do not.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from runtime.timing.turns import Windows, take_rounds

# A burst begins with a call that is not counted: it meets caches and thread pools that another call has left.
BURST = 3
MOST_SAMPLES = 300
PRODUCT = 768  # side of the matrices whose product shows the machine's pace

T = TypeVar("T")
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Patience:
    """The length of measurements: each call at least `samples` times and for `seconds` in all."""

    samples: int = 15
    seconds: float = 0.2

    def forecast(self, call: float) -> float:
        """Return the seconds that measuring calls of `call` seconds may take, two bursts of warm-up
        included.
        """
        bursts = -(-self.samples // BURST)
        return max((2 * BURST + bursts * (BURST + 1)) * call, self.seconds)


@dataclass(frozen=True, slots=True)
class Timed(Generic[T]):
    """The samples of one call, in seconds. `steady`: whether every warm-up settled."""

    samples: Mapping[T, tuple[float, ...]]
    steady: bool


def in_turns(
    runs: Mapping[T, Callable[[], object]], patience: Patience, clock: Clock = time.perf_counter
) -> Timed[T]:
    """Return the seconds of each of `runs`, measured side by side."""
    # Not `all` of a generator: each has to be warmed up, settled or not.
    settled = [_warm_up(run, clock) for run in runs.values()]
    found: dict[T, list[float]] = {name: [] for name in runs}

    def take(name: T) -> list[float]:
        runs[name]()
        return _burst(runs[name], clock)

    def more(_: int) -> bool:
        return any(not _enough(samples, patience) for samples in found.values())

    take_rounds(found, take, more, rotate=True)
    return Timed({name: tuple(samples) for name, samples in found.items()}, all(settled))


def _warm_up(run: Callable[[], object], clock: Clock) -> bool:
    """Call until the medians of two bursts in a row agree; False where that was given up."""
    windows = Windows(BURST, shortest=0.0, longest=math.inf)
    while not windows.over:
        windows.add(_timed(run, clock))
    return windows.settled


def _burst(run: Callable[[], object], clock: Clock) -> list[float]:
    return [_timed(run, clock) for _ in range(BURST)]


def _timed(run: Callable[[], object], clock: Clock) -> float:
    start = clock()
    run()
    return clock() - start


def _enough(samples: list[float], patience: Patience) -> bool:
    if len(samples) >= MOST_SAMPLES:
        return True
    return len(samples) >= patience.samples and sum(samples) >= patience.seconds


def pace(clock: Clock = time.perf_counter) -> float:
    """Return the multiply-accumulates per second of a large float32 product, the best of a few."""
    matrix = np.ones((PRODUCT, PRODUCT), np.float32)
    matrix @ matrix
    times = _burst(lambda: matrix @ matrix, clock)
    return float(PRODUCT**3 / min(times))
