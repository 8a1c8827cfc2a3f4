"""How many share a call, from what calls took."""

import pytest

from runtime.scheduling.capacity import SAMPLES, Capacity


def learned(*calls: tuple[int, float], times: int = SAMPLES) -> Capacity:
    capacity = Capacity()
    for count, seconds in calls:
        for _ in range(times):
            capacity.called("a", count, count, seconds)
    return capacity


def test_as_many_as_may_while_nothing_is_known() -> None:
    assert Capacity().of("a", 8) == 8
    assert learned((1, 1.0), (8, 8.0), times=SAMPLES - 1).of("a", 8) == 8
    assert learned((1, 1.0)).of("a", 8) == 8
    assert learned((1, 1.0), (4, 4.0)).of("a", 8) == 8


@pytest.mark.parametrize(
    ("eight", "cap"),
    [(8.0, 1), (7.7, 1), (7.5, 8), (4.0, 8)],  # a twentieth more alone is not worth the waiting
)
def test_groups_are_for_what_they_save(eight: float, cap: int) -> None:
    assert learned((1, 1.0), (8, eight)).of("a", 8) == cap


def test_the_smallest_group_that_is_good_enough() -> None:
    assert learned((1, 1.0), (2, 1.6), (4, 2.9), (8, 5.7)).of("a", 8) == 4


def test_what_disturbs_a_call_teaches_nothing() -> None:
    capacity = learned((1, 1.0), (8, 4.0))
    for _ in range(100):
        capacity.called("a", 8, 8, 80.0)
    assert capacity.of("a", 8) == 8


def test_requests_with_two_rows_count_their_rows() -> None:
    capacity = learned((8, 8.0))
    for _ in range(SAMPLES):
        capacity.called("a", 1, 2, 2.0)
    assert capacity.of("a", 8) == 1


def test_engines_are_learned_apart() -> None:
    capacity = learned((1, 1.0), (8, 8.0))
    assert (capacity.of("a", 8), capacity.of("b", 8)) == (1, 8)


def test_where_one_is_all_there_is_nothing_to_learn() -> None:
    assert learned((1, 1.0)).of("a", 1) == 1
