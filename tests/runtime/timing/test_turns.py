"""The turns: who runs when, with callables that only pretend to take time."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from runtime.errors import EngineFailure
from runtime.timing.turns import MOST_WINDOWS, Effort, Series, Turns, Windows


def nobody(phase: str, done: int, expected: int) -> None:
    pass


class Bench:
    """Contenders by name, each with the seconds of its calls; `order` is who ran."""

    def __init__(self, **seconds: Iterator[float]) -> None:
        self.order: list[str] = []
        self.series = {name: Series() for name in seconds}
        self.turns = Turns({name: self._work(name, times) for name, times in seconds.items()}, self.series)

    def _work(self, name: str, times: Iterator[float]) -> Callable[[], float]:
        def run() -> float:
            self.order.append(name)
            return next(times)

        return run


def failing_after(calls: int) -> Iterator[float]:
    yield from repeat(1.0, calls)
    raise EngineFailure("out of memory")


def test_contenders_take_turns_from_the_first_call_to_the_last() -> None:
    bench = Bench(a=repeat(1.0), b=repeat(2.0))
    bench.turns.take(Effort(rounds=4, seconds=0), nobody)
    assert bench.order == ["a", "b"] * (len(bench.order) // 2)
    assert [len(series.samples) for series in bench.series.values()] == [4, 4]


def test_warm_up_ends_when_two_windows_agree() -> None:
    slow_then_steady = chain([9.0, 5.0, 4.0], repeat(3.1, 3), repeat(3.0))
    bench = Bench(a=slow_then_steady)
    bench.turns.take(Effort(2, 0), nobody)
    series = bench.series["a"]
    assert series.settled
    assert series.warm_up == [9.0, 5.0, 4.0, 3.1, 3.1]  # calls longer than 3 s are windows of their own
    assert series.samples == [3.1, 3.0]


def test_a_window_takes_three_calls_and_a_tenth_of_a_second() -> None:
    short, long = Windows(), Windows()
    for _ in range(8):
        short.add(0.02)
    for _ in range(5):
        long.add(1.0)
    assert (short.full, long.full) == (1, 1)


def test_the_steady_run_on_while_others_warm_up() -> None:
    bench = Bench(steady=repeat(3.0), late=chain([30.0, 20.0, 10.0], repeat(5.0)))
    bench.turns.take(Effort(1, 0), nobody)
    assert len(bench.series["steady"].warm_up) == len(bench.series["late"].warm_up) == 5


def test_what_never_settles_is_measured_and_marked() -> None:
    bench = Bench(wild=iter([4.0, 8.0] * 20))
    bench.turns.take(Effort(2, 0), nobody)
    assert len(bench.series["wild"].warm_up) == MOST_WINDOWS
    assert not bench.series["wild"].settled
    assert len(bench.series["wild"].samples) == 2


@pytest.mark.parametrize(("effort", "rounds"), [(Effort(3, 0), 3), (Effort(3, 10), 10), (Effort(3, 9.5), 10)])
def test_both_the_count_and_the_time_are_reached(effort: Effort, rounds: int) -> None:
    bench = Bench(quick=repeat(1.0), slow=repeat(4.0))
    bench.turns.take(effort, nobody)
    assert {len(series.samples) for series in bench.series.values()} == {rounds}


@pytest.mark.parametrize("calls", [0, 7, 9])
def test_who_fails_leaves_and_the_others_go_on(calls: int) -> None:
    bench = Bench(bad=failing_after(calls), good=repeat(1.0))
    bench.turns.take(Effort(5, 0), nobody)
    bad, good = bench.series["bad"], bench.series["good"]
    assert bad.failure == "out of memory"
    assert len(bad.warm_up) + len(bad.samples) == calls
    assert len(good.samples) == 5
    assert good.failure is None


def test_nobody_left_is_an_end() -> None:
    bench = Bench(bad=failing_after(0))
    bench.turns.take(Effort(5, 0), nobody)
    assert bench.order == ["bad"]


def test_an_interrupt_leaves_what_was_measured() -> None:
    def interrupted() -> Iterator[float]:
        yield from repeat(3.0, 4)
        raise KeyboardInterrupt

    bench = Bench(a=repeat(3.0), b=interrupted())
    with pytest.raises(KeyboardInterrupt):
        bench.turns.take(Effort(9, 0), nobody)
    assert len(bench.series["a"].samples) == 3
    assert len(bench.series["b"].samples) == 2


def test_rounds_are_told_as_they_come() -> None:
    told: list[tuple[str, int, int]] = []
    bench = Bench(a=repeat(3.0))
    bench.turns.take(Effort(2, 0), lambda *round: told.append(round))
    assert told == [("warm-up", 1, 1), ("warm-up", 2, 2), ("round", 0, 2), ("round", 1, 2)]
