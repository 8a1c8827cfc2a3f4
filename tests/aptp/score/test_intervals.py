"""Intervals against their closed forms."""

import math

import numpy as np
import pytest

from aptp.score.intervals import Rate, bootstrap


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [  # Newcombe 1998, table I, and the bounds that follow by hand where the share is 0 or 1
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 1 - 0.1611, 1.0),
    ],
)
def test_wilson_s_interval(hits, count, low, high):
    rate = Rate(hits, count)
    assert rate.share == pytest.approx(hits / count)
    assert rate.interval == pytest.approx((low, high), abs=5e-5)


def test_nothing_counted_says_nothing():
    assert math.isnan(Rate(0, 0).share)
    assert Rate(0, 0).interval == (0, 1)


def test_parts_of_hits_count_as_parts():
    rate = Rate.of([1, 0.5, 0, 0.75])
    assert (rate.hits, rate.count, rate.share) == (2.25, 4, 0.5625)


def test_the_bootstrap_finds_the_normal_interval_of_a_mean():
    values = np.random.default_rng(0).normal(3, 2, 400)
    reach = 1.96 * values.std() / math.sqrt(len(values))
    low, high = bootstrap(values.tolist())
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.2 * reach)
    assert bootstrap([0.5] * 3) == (0.5, 0.5)
    assert all(map(math.isnan, bootstrap([])))
