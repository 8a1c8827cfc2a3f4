"""A shuffled order: every pass whole, every pass another, nothing favoured."""

from collections import Counter

import pytest

from aptp.data.order import shuffled


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 65, 1000])
def test_every_pass_has_everything_once(count):
    for turn in (0, 1, 12345):
        found = [shuffled(turn * count + i, count, 3) for i in range(count)]
        assert sorted(found) == list(range(count))


def test_passes_and_seeds_differ():
    orders = {
        tuple(shuffled(turn * 50 + i, 50, seed) for i in range(50)) for turn in range(3) for seed in (0, 1)
    }
    assert len(orders) == 6


def test_nothing_has_a_place_it_prefers():
    count, passes = 10, 2000
    seen = Counter((i, shuffled(turn * count + i, count, 0)) for turn in range(passes) for i in range(count))
    expected = passes / count
    chi_square = sum((seen[i, j] - expected) ** 2 / expected for i in range(count) for j in range(count))
    assert chi_square < 126  # 81 degrees of freedom: exceeded by chance once in a thousand


def test_neighbours_are_as_likely_to_stay_apart():
    count, passes = 10, 2000
    steps = Counter(
        (shuffled(turn * count + i + 1, count, 5) - shuffled(turn * count + i, count, 5)) % count
        for turn in range(passes)
        for i in range(count - 1)
    )
    expected = passes * (count - 1) / (count - 1)
    assert all(abs(steps[step] - expected) < 0.1 * expected for step in range(1, count))


def test_an_order_is_the_same_in_every_version():
    assert [shuffled(i, 12, 7) for i in range(12)] == [3, 9, 11, 7, 5, 6, 10, 1, 2, 8, 4, 0]
