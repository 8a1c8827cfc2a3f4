import math
import re
from pathlib import Path

import numpy as np
import pytest

from runtime.diffusion.noise import cos_sin, log, normal, philox

PAGE = Path(__file__).parents[3] / "docs" / "BUNDLE.md"

# Random123's published vectors for philox4x32-10: counter, key, words.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_gives_the_published_words(counter: str, key: str, expected: str) -> None:
    c0, c1, c2, c3 = (np.array([word], np.uint64) for word in words(counter))
    k0, k1 = words(key)
    assert [int(word[0]) for word in philox((c0, c1, c2, c3), (k0, k1))] == words(expected)


def test_the_page_and_the_code_agree() -> None:
    section = PAGE.read_text().partition("## Golden vectors")[2]
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", section, re.MULTILINE)
    assert len(rows) >= 3
    for seed, values in rows:
        bits = normal(int(seed), (4, 2, 2)).reshape(-1)[:8].view(np.uint32)
        assert [f"`{value:08x}`" for value in bits] == values.split()


def test_moments_and_tails() -> None:
    values = normal(7, (4, 512, 512)).astype(np.float64).reshape(-1)
    assert abs(values.mean()) < 4 / math.sqrt(values.size)
    assert abs(values.var() - 1) < 4 * math.sqrt(2 / values.size)
    assert abs((values**3).mean()) < 4 * math.sqrt(15 / values.size)
    assert abs((values**4).mean() - 3) < 4 * math.sqrt(96 / values.size)
    for limit in (1, 2, 3, 4):
        expected = math.erfc(limit / math.sqrt(2))
        assert abs((abs(values) > limit).mean() - expected) < 4 * math.sqrt(expected / values.size)


def test_neighbours_are_independent() -> None:
    values = normal(3, (1 << 18,)).astype(np.float64)
    for lag in (1, 2, 3, 4, 64):
        assert abs(np.corrcoef(values[:-lag], values[lag:])[0, 1]) < 4 / math.sqrt(values.size)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 63])
def test_the_first_values_do_not_depend_on_the_count(count: int) -> None:
    assert np.array_equal(normal(11, (count,)), normal(11, (64,))[:count])


def test_seed_stream_and_shape() -> None:
    noise = normal(0, (4, 3, 5))
    assert noise.shape == (4, 3, 5)
    assert noise.dtype == np.float32
    others = [normal(1, (60,)), normal(2**32, (60,)), normal(2**63, (60,)), normal(0, (60,), stream=1)]
    assert len({other.tobytes() for other in [noise, *others]}) == 5


def test_functions_against_libm() -> None:
    edges = np.array([0, 1, 2**29, 2**30, 2**31 - 1, 2**31, 3 * 2**30, 2**32 - 1], np.float64)
    drawn = np.random.default_rng(0).integers(0, 2**32, 20_000).astype(np.float64)
    u = (np.concatenate([edges, drawn]) + 0.5) * 2.0**-32
    logs = np.array([math.log(value) for value in u])
    assert np.max(np.abs(log(u) - logs) / np.abs(logs)) < 1e-15
    cosine, sine = cos_sin(u)
    assert np.max(np.abs(cosine - [math.cos(2 * math.pi * value) for value in u])) < 1e-15
    assert np.max(np.abs(sine - [math.sin(2 * math.pi * value) for value in u])) < 1e-15


def test_extreme_words_are_finite() -> None:
    # The smallest uniform is 2^-33: no logarithm of zero, and no value beyond 6.77.
    u = np.array([0.5 * 2.0**-32, 1 - 0.5 * 2.0**-32])
    assert np.isfinite(log(u)).all()
    assert math.sqrt(-2 * float(log(u)[0])) < 6.77
