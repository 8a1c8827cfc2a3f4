"""Threads around the scheduler: everyone is told how it ended, once, whatever goes wrong."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from runtime.errors import Cancelled, Closed, DeadlineExceeded, EngineFailure, IntegrityError, QueueFull
from runtime.scheduling.ticket import Ticket
from runtime.service.dispatcher import Dispatcher
from tests.runtime.service.staging import Errand, Gate, Stage, eventually, service, submit_all

Made = list[Dispatcher[Errand]]


@pytest.fixture
def made() -> Iterator[Any]:
    """Makes services, and closes them."""
    opened: Made = []

    def make(stage: Stage, **options: Any) -> Dispatcher[Errand]:
        opened.append(service(stage, **options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_events_come_in_order(made: Any) -> None:
    errand = Errand(calls=4)
    made(Stage()).submit(errand)
    assert errand.end == "finished"
    assert errand.heard == ["behind 0", "started", 1, 2, 3, "finished"]


def test_what_is_too_much_is_refused(made: Any) -> None:
    gate = Gate("call")
    one = made(Stage(gate), running=2, queued=1)
    errands = [Errand() for _ in range(3)]
    submit_all(one, errands)
    for _ in range(4):
        with pytest.raises(QueueFull):
            one.submit(Errand())
    gate.leave_open()
    assert [errand.end for errand in errands] == ["finished"] * 3
    counts = one.look(lambda scheduler: scheduler.counts)
    assert (counts.admitted, counts.finished, counts.rejected) == (3, 3, 4)


def test_a_queued_one_is_cancelled_at_once(made: Any) -> None:
    gate = Gate("call")
    one = made(Stage(gate), running=1, batch=1)
    running, queued = Errand(), Errand()
    _, ticket = submit_all(one, [running, queued])
    gate.wait()
    one.cancel(ticket)
    assert isinstance(queued.end, Cancelled)
    assert queued.heard == ["behind 0", queued.failure]  # never begun
    gate.leave_open()
    assert running.end == "finished"


def test_a_running_one_stops_before_its_next_call(made: Any) -> None:
    gate = Gate("call")
    stage = Stage(gate)
    one = made(stage, running=1, batch=1)
    running, following = Errand(calls=9), Errand()
    ticket, _ = submit_all(one, [running, following])
    gate.wait()
    one.cancel(ticket)
    assert isinstance(running.end, Cancelled)
    gate.leave_open()
    assert following.end == "finished"
    assert [works for _, works in stage.calls] == [[running], [following]]


def test_cancelling_what_has_ended_changes_nothing(made: Any) -> None:
    one, errand = made(Stage()), Errand()
    ticket = one.submit(errand)
    assert errand.end == "finished"
    one.cancel(ticket)
    one.cancel(ticket)
    assert errand.ends == ["finished"]


def test_a_deadline_ends_what_waits_and_what_runs(made: Any) -> None:
    gate = Gate("call")
    stage = Stage(gate)
    one = made(stage, running=1, batch=1)
    running, waiting = Errand(calls=5), Errand()
    one.submit(running, seconds=0.05)
    one.submit(waiting, seconds=0.05)
    gate.wait()
    assert isinstance(running.end, DeadlineExceeded)
    assert isinstance(waiting.end, DeadlineExceeded)
    gate.leave_open()
    one.drain()
    assert [works for _, works in stage.calls] == [[running]]


def test_a_call_that_fails_ends_its_own_and_no_other(made: Any) -> None:
    def play(what: str, key: Any) -> None:
        if (what, key) == ("call", "bad"):
            raise EngineFailure("no more")

    one = made(Stage(play))
    bad, good = Errand(calls=3, engine="bad"), Errand(calls=3, engine="good")
    submit_all(one, [bad, good])
    assert str(bad.end) == "no more"
    assert good.end == "finished"


@pytest.mark.parametrize("error", [MemoryError("1.2 GB"), ZeroDivisionError("x"), AssertionError("y")])
@pytest.mark.parametrize("what", ["prepare", "open", "call"])
def test_what_nobody_foresaw_ends_one_request_and_not_the_service(
    made: Any, what: str, error: Exception
) -> None:
    def play(now: str, key: Any) -> None:
        if (now, key) == (what, "bad"):
            raise error

    one = made(Stage(play))
    bad, good = Errand(engine="bad"), Errand(engine="good")
    one.submit(bad)
    failure = bad.end
    assert isinstance(failure, EngineFailure)
    assert failure.__cause__ is error
    assert str(error) in str(failure)
    one.submit(good)
    assert good.end == "finished"


def test_an_engine_that_does_not_open_is_tried_again_for_the_next(made: Any) -> None:
    failures = iter([True, False])

    def play(what: str, key: Any) -> None:
        if what == "open" and next(failures):
            raise IntegrityError("changed")

    one = made(Stage(play))
    first, second = Errand(), Errand()
    one.submit(first)
    assert isinstance(first.end, IntegrityError)
    one.submit(second)
    assert second.end == "finished"


def test_engines_are_let_go_before_others_come(made: Any) -> None:
    order: list[str] = []
    stage = Stage(lambda what, key: order.append(f"{what} {key}"))
    close = stage.close

    def closing(key: str, engine: str) -> None:
        order.append(f"close {key}")
        close(key, engine)

    stage.close = closing  # type: ignore[method-assign]
    one = made(stage, engines=1)
    for engine in "ab":
        errand = Errand(engine=engine)
        one.submit(errand)
        assert errand.end == "finished"
    assert [step for step in order if "prepare" not in step] == [
        "open a",
        "call a",
        "close a",
        "open b",
        "call b",
    ]


@pytest.mark.parametrize("what", ["open", "call"])
def test_an_engine_that_retires_at_work_goes_when_it_is_done(made: Any, what: str) -> None:
    gate = Gate(what)
    stage = Stage(gate)
    one = made(stage)
    ticket = one.submit(Errand(calls=9))
    gate.wait()
    one.cancel(ticket)
    one.retire(lambda key: key == "a")
    assert stage.closed == []
    gate.leave_open()
    eventually(lambda: stage.closed == ["a"])
    assert one.look(lambda scheduler: list(scheduler.memory)) == []


def test_draining_finishes_what_was_let_in(made: Any) -> None:
    gate = Gate("call")
    one = made(Stage(gate), running=1, batch=1)
    errands = [Errand() for _ in range(3)]
    submit_all(one, errands)
    gate.wait()
    drained: list[bool] = []
    waiting = threading.Thread(target=lambda: drained.append(one.drain()))
    waiting.start()
    eventually(lambda: one.closing)
    with pytest.raises(Closed):
        one.submit(Errand())
    gate.leave_open()
    waiting.join()
    assert drained == [True]
    assert [errand.end for errand in errands] == ["finished"] * 3


def test_what_draining_cuts_off_is_told(made: Any) -> None:
    gate = Gate("call")
    one = made(Stage(gate), running=1, batch=1)
    errands = [Errand(), Errand()]
    submit_all(one, errands)
    gate.wait()
    assert not one.drain(0.01)
    assert all(isinstance(errand.end, Closed) for errand in errands)
    gate.leave_open()


def test_closing_leaves_no_thread_and_no_engine() -> None:
    before, stage = threading.active_count(), Stage()
    one = service(stage)
    errand = Errand()
    one.submit(errand)
    assert errand.end == "finished"
    one.close()
    one.close()
    assert threading.active_count() == before
    assert stage.closed == ["a"]


def test_a_service_nobody_used_leaves_no_threads() -> None:
    before = threading.active_count()
    one = service(Stage())
    assert threading.active_count() == before + 4  # all that it will have: none can be missing later
    one.close()
    assert threading.active_count() == before


def test_a_thousand_random_cancels(made: Any) -> None:
    rng = random.Random(0)
    one = made(Stage(), running=8, queued=None, batch=3, engines=2)
    errands = [Errand(calls=rng.randint(1, 6), engine=rng.choice("abc")) for _ in range(1000)]
    tickets: list[Ticket[Errand]] = []
    canceller = threading.Thread(target=lambda: [one.cancel(rng.choice(tickets)) for _ in range(1000)])
    for index, errand in enumerate(errands):
        tickets.append(one.submit(errand))
        if index == 100:
            canceller.start()
    canceller.join()
    ends = Counter(type(errand.end).__name__ for errand in errands)
    one.drain()
    assert all(len(errand.ends) == 1 for errand in errands)
    counts = one.look(lambda scheduler: scheduler.counts)
    assert (counts.admitted, counts.finished, counts.cancelled) == (1000, ends["str"], ends["Cancelled"])
    assert ends["str"] + ends["Cancelled"] == 1000


def test_many_threads_on_few_engines(made: Any) -> None:
    one = made(Stage(), running=6, queued=None, batch=2, engines=1)
    ends: Counter[str] = Counter()

    def use(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(25):
            errand = Errand(calls=rng.randint(1, 3), engine=rng.choice("abcd"))
            ticket = one.submit(errand, priority=rng.choice([-1, 0, 1]))
            if rng.random() < 0.2:
                one.cancel(ticket)
            ends[str(errand.end)] += 1

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert sum(ends.values()) == 16 * 25
    assert one.look(len) == 0
