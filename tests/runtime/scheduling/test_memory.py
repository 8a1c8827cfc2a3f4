"""The engines that stay in memory: ten bytes a letter, a budget of twenty unless said otherwise."""

from runtime.scheduling.memory import TURN, MemoryBudget


def memory(*resident: str, budget: int = 20) -> MemoryBudget:
    made = MemoryBudget(budget, lambda key: 10)
    for key in resident:
        made.start(key)
        made.opened(key, 1.0)
    return made


def test_what_fits_sends_nobody_away() -> None:
    assert memory("a").victims("b", {"a"}, ahead=False) == []


def test_the_least_recently_used_of_the_idle_goes() -> None:
    full = memory("a", "b")
    full.ran("a", 0.1)
    assert full.victims("c", {"c"}, ahead=False) == ["b"]


def test_the_idle_go_before_the_busy() -> None:
    full = memory("a", "b")
    full.ran("a", 2.0 * TURN)
    assert full.victims("c", {"a", "c"}, ahead=False) == ["b"]


def test_the_busy_stay_until_their_turn_is_over() -> None:
    full = memory("a", "b")
    full.ran("a", 1.0 * TURN - 0.1)
    assert full.victims("c", {"a", "b", "c"}, ahead=False) is None
    full.ran("a", 0.1)
    assert full.victims("c", {"a", "b", "c"}, ahead=False) == ["a"]


def test_who_opened_in_no_time_runs_before_it_goes() -> None:
    full = MemoryBudget(10, lambda key: 10)
    full.start("a")
    full.opened("a", 0.0)
    assert full.victims("b", {"a", "b"}, ahead=False) is None
    full.ran("a", 0.1)
    assert full.victims("b", {"a", "b"}, ahead=False) == ["a"]


def test_nobody_busy_goes_for_what_is_needed_later() -> None:
    full = memory("a", "b")
    full.ran("a", 2.0 * TURN)
    assert full.victims("c", {"a", "b"}, ahead=True) is None
    assert full.victims("c", {"a"}, ahead=True) == ["b"]


def test_as_many_go_as_are_in_the_way() -> None:
    large = MemoryBudget(30, lambda key: 30 if key == "large" else 10)
    for key in "abc":
        large.start(key)
        large.opened(key, 1.0)
    assert large.victims("large", set(), ahead=False) == ["a", "b", "c"]


def test_what_is_being_opened_counts() -> None:
    opening = memory("a")
    opening.start("b")
    assert (opening.used, "b" in opening, opening.opening) == (20, False, "b")
    opening.failed("b")
    assert (opening.used, opening.opening) == (10, None)


def test_what_is_held_is_there_or_coming() -> None:
    opening = memory("a")
    opening.start("b")
    assert [opening.holds(lambda key, wanted=wanted: key == wanted) for wanted in "abc"] == [
        True,
        True,
        False,
    ]
