"""Turns, warm-up and patience, on a clock that the test winds."""

from collections.abc import Callable, Iterator
from itertools import cycle, repeat

from export.profile.timing import BURST, MOST_SAMPLES, Patience, in_turns, pace
from runtime.timing.turns import MOST_WINDOWS as WINDOWS


class Clock:
    """Time passes while calls run, and at no other time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def run(self, name: str, seconds: Iterator[float]) -> Callable[[], None]:
        def call() -> None:
            self.log.append(name)
            self.now += next(seconds)

        return call


def test_each_is_timed_in_turn_and_each_follows_another_next_time() -> None:
    clock = Clock()
    runs = {name: clock.run(name, repeat(1.0)) for name in "ab"}
    timed = in_turns(runs, Patience(2 * BURST, 0), clock)
    warm, turn = 2 * BURST, BURST + 1
    assert "".join(clock.log) == "a" * warm + "b" * warm + "a" * turn + "b" * turn + "b" * turn + "a" * turn
    assert timed.samples == {"a": (1.0,) * 2 * BURST, "b": (1.0,) * 2 * BURST}
    assert timed.steady


def test_the_first_call_of_a_turn_is_not_counted() -> None:
    clock = Clock()
    seconds = cycle([9.0, *[1.0] * BURST])
    warm = iter([*[1.0] * 2 * BURST])
    run = clock.run("a", iter(lambda: next(warm, None) or next(seconds), None))
    assert set(in_turns({"a": run}, Patience(9, 0), clock).samples["a"]) == {1.0}


def test_warming_up_goes_on_until_two_bursts_agree() -> None:
    clock = Clock()
    slow = [8.0] * BURST + [4.0] * BURST + [2.0] * BURST + [2.05] * BURST
    timed = in_turns({"a": clock.run("a", iter(slow + [2.0] * 99))}, Patience(1, 0), clock)
    assert timed.steady
    assert set(timed.samples["a"]) == {2.0}


def test_what_never_settles_is_said_to_be_unsteady() -> None:
    clock = Clock()
    restless = cycle([1.0] * BURST + [2.0] * BURST)
    runs = {"a": clock.run("a", restless), "b": clock.run("b", repeat(1.0))}
    assert not in_turns(runs, Patience(1, 0), clock).steady
    assert clock.log[: (WINDOWS + 2) * BURST] == ["a"] * WINDOWS * BURST + ["b"] * 2 * BURST


def test_short_calls_are_measured_until_they_add_up() -> None:
    clock = Clock()
    timed = in_turns({"a": clock.run("a", repeat(0.01))}, Patience(1, 0.3), clock)
    assert 0.3 <= sum(timed.samples["a"]) < 0.3 + 0.01 * 2 * BURST


def test_but_not_for_ever() -> None:
    clock = Clock()
    timed = in_turns({"a": clock.run("a", repeat(1e-9))}, Patience(1, 1.0), clock)
    assert MOST_SAMPLES <= len(timed.samples["a"]) < MOST_SAMPLES + BURST


def test_a_forecast_counts_every_call() -> None:
    clock = Clock()
    patience = Patience(15, 0)
    in_turns({"a": clock.run("a", repeat(2.0))}, patience, clock)
    assert patience.forecast(2.0) == clock.now
    assert Patience(15, 3.0).forecast(1e-9) == 3.0


def test_the_pace_is_that_of_the_fastest_product() -> None:
    clock = iter([0.0, 3.0, 3.0, 5.0, 5.0, 9.0])
    assert pace(lambda: next(clock)) == 768**3 / 2.0
