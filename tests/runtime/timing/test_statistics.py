import math
import random
from statistics import median

import pytest

from runtime.timing.statistics import median_of, speed_up, summarize


def test_a_summary_of_known_samples() -> None:
    found = summarize([1.0, 2.0, 3.0, 4.0, 10.0])
    assert (found.count, found.p50, found.mean, found.low, found.high) == (5, 3.0, 4.0, 1.0, 10.0)
    assert found.cov == pytest.approx(math.sqrt(50 / 4) / 4)  # deviations -3 -2 -1 0 6


def test_percentiles_are_samples_and_only_where_there_are_enough() -> None:
    assert summarize([1.0] * 9).p90 is None
    assert summarize([float(i) for i in range(1, 11)]).p90 == 9.0
    assert summarize([1.0] * 99).p99 is None
    hundred = summarize([float(i) for i in range(1, 101)])
    assert (hundred.p90, hundred.p99) == (90.0, 99.0)


def test_one_sample_has_no_spread() -> None:
    assert summarize([2.0]).cov is None


def test_a_speed_up_compares_neighbours_in_time() -> None:
    # The machine slows down tenfold half-way; who is compared with his neighbour does not notice.
    machine = [1.0] * 4 + [10.0] * 4
    found = speed_up([2 * slow for slow in machine], machine)
    assert found is not None
    assert (found.middle, found.low, found.high) == (2.0, 2.0, 2.0)


def test_a_round_that_an_interrupt_cut_short_is_left_out() -> None:
    found = speed_up([4.0, 4.0], [2.0])
    assert found is not None
    assert found.middle == 2.0
    assert speed_up([4.0], []) is None


def test_five_values_have_no_interval_of_95_percent() -> None:
    assert median_of([1.0, 2.0, 3.0, 4.0, 5.0]).low is None


def test_six_values_lie_around_their_median() -> None:
    # All six on one side of the median: 2 / 2^6 = 3.1 %.
    found = median_of([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    assert (found.low, found.middle, found.high) == (1.0, 3.5, 6.0)


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    rng, held = random.Random(0), 0
    for _ in range(1000):
        found = median_of([rng.expovariate(1.0) for _ in range(20)])
        assert found.low is not None
        assert found.high is not None
        held += found.low <= math.log(2) <= found.high
    assert held >= 940  # of 1,000; 95 % at the least, less three standard deviations


def test_the_middle_is_the_median() -> None:
    values = [0.3, 0.1, 0.2]
    assert median_of(values).middle == median(values)
