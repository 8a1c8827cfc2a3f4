from itertools import count

import pytest

from runtime.bench.peak import CALLS, Peak


def test_the_peak_is_the_fastest_product_of_the_run() -> None:
    peak = Peak(side=10, samples={"before": [2.0, 4.0], "after": [1.0]})
    assert peak.rate == 1000.0


def test_products_are_timed_one_by_one() -> None:
    ticks = count()
    peak = Peak(side=8)
    peak.measure("before", lambda: float(next(ticks)))
    assert peak.samples == {"before": [1.0] * CALLS}
    assert peak.rate == 512.0


def test_moments_are_kept_apart() -> None:
    peak = Peak(side=8)
    for when in ("before", "after"):
        peak.measure(when)
    assert set(peak.samples) == {"before", "after"}
    assert peak.rate == pytest.approx(512 / min(map(min, peak.samples.values())))
