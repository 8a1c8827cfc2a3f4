"""Start noise in C++ has Python's bits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from runtime.diffusion.noise import normal
from tests.cpp.answers import ask_text

SEEDS = [0, 1, 7, 2**32 - 1, 2**32, 2**63, 2**64 - 1, 123456789012345678]


def test_noise_has_the_same_bytes(program: Callable[[str], Path]) -> None:
    rng = np.random.default_rng(0)
    seeds = [*SEEDS, *map(int, rng.integers(0, 2**64, 200, dtype=np.uint64))]
    asked = [(seed, int(rng.integers(1, 300)), int(rng.integers(0, 3))) for seed in seeds]
    asked += [(0, 0, 0), (5, 4 * 64 * 64, 0), (2**64 - 1, 200_000, 0)]
    found = ask_text(program("noise"), [f"{seed} {count} {stream}" for seed, count, stream in asked])
    for (seed, count, stream), text in zip(asked, found, strict=True):
        assert bytes.fromhex(text) == normal(seed, (count,), stream).astype("<f4").tobytes(), (seed, count)
