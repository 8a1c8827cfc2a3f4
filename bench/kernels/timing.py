"""Times GPU work in turns, with events, and keeps every sample."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import Tensor

Work = Callable[[], object]
SHORTEST = 2e-3  # seconds a sample lasts at the least, so that launches and clocks' ticks vanish in it
MATRIX, COPY = 8192, 2**30
DEVICE = "cuda"


@dataclass
class Timed:
    """Seconds per call, one entry per sample; ``first``: the first call, compilation included."""

    first: float
    samples: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return median(self.samples)


def in_turns(works: Mapping[str, Work], rounds: int = 9) -> dict[str, Timed | str]:
    """Each of ``works`` once per round, so that a slow moment hits all of them. What cannot run is a
    message instead of times.
    """
    timed: dict[str, Timed | str] = {}
    repeats = {}
    for name, work in works.items():
        try:
            start = time.perf_counter()
            work()
            torch.cuda.synchronize()
            timed[name] = Timed(time.perf_counter() - start)
            repeats[name] = max(1, round(SHORTEST / _sample(work, 3)))
        except (RuntimeError, ValueError, NotImplementedError) as error:
            timed[name] = str(error).splitlines()[0][:100]
    for _ in range(rounds):
        for name, count in repeats.items():
            found = timed[name]
            assert isinstance(found, Timed), "only what ran has repeats"
            found.samples.append(_sample(works[name], count))
    return timed


def _sample(work: Work, repeats: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / repeats


def ceilings() -> tuple[float, float]:
    """Operations per second of a large bfloat16 product of random numbers, bytes per second of a copy."""
    a, b = (torch.randn(MATRIX, MATRIX, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    source = torch.empty(COPY, dtype=torch.uint8, device=DEVICE)
    target: Tensor = torch.empty_like(source)
    timed = in_turns({"product": lambda: a @ b, "copy": lambda: target.copy_(source)})
    product, copy = (timed[name] for name in ("product", "copy"))
    assert isinstance(product, Timed), product
    assert isinstance(copy, Timed), copy
    return 2 * MATRIX**3 / product.seconds, 2 * COPY / copy.seconds
