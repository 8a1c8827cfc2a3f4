"""Threads that do not start, die, or never come back: all are told why, nobody waits, and closing works."""

import threading
import time
from typing import Any

import pytest

from runtime.errors import Unavailable
from runtime.service import dispatcher, worker_thread
from runtime.service.dispatcher import Dispatcher
from tests.runtime.service.staging import PATIENCE, Errand, Gate, Stage, eventually, service, submit_all

NAMES = ("prepare", "open", "call", "watch")


class Death(BaseException):
    """Nothing of the service catches it."""


def started() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("aptp-")}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the threads often."""
    monkeypatch.setattr(dispatcher, "PULSE", 0.01)
    monkeypatch.setattr(worker_thread, "_GLANCE", 0.01)


@pytest.mark.parametrize("name", NAMES)
def test_all_threads_start_or_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    start, before = threading.Thread.start, started()

    def scarce(self: threading.Thread) -> None:
        if self.name == f"aptp-{name}":
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    with pytest.raises(Unavailable, match=r"no more threads; raise the limit .* and try again"):
        service(Stage())
    assert started() == before
    monkeypatch.undo()
    one, errand = service(Stage()), Errand()
    one.submit(errand)
    assert errand.end == "finished"
    one.close()


def killed(name: str, errands: list[Errand], monkeypatch: pytest.MonkeyPatch) -> Dispatcher[Errand]:
    """A service in which a thread dies while requests wait, run, and share the call."""
    gate, armed = Gate("call"), threading.Event()

    def play(what: str, key: Any) -> None:
        gate(what, key)
        if armed.is_set() and what == name:
            raise Death("of a test")

    one = service(Stage(play), running=8)
    submit_all(one, errands)
    gate.wait()
    armed.set()
    if name == "watch":

        def dies(now: float) -> None:
            raise Death("of a test")

        monkeypatch.setattr(one.look(lambda scheduler: scheduler), "expire", dies)
    one.submit(Errand(engine="c"))
    if name == "call":
        gate.leave_open()
    eventually(lambda: one.trouble is not None)
    gate.leave_open()
    return one


@pytest.mark.parametrize("name", NAMES)
def test_a_thread_that_dies_is_told_to_all(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    errands = [Errand(calls=10**6, engine=engine) for engine in "aab"]
    one = killed(name, errands, monkeypatch)
    said = f"the thread '{name}' of the runtime died of Death: of a test; open the bundle again"
    for errand in errands:
        assert isinstance(errand.end, Unavailable)
        assert said in str(errand.end)
        assert len(errand.ends) == 1
    assert said in str(one.trouble)
    with pytest.raises(Unavailable, match="died of Death"):
        one.submit(Errand())
    counts = one.look(lambda scheduler: scheduler.counts)
    assert counts.admitted == counts.finished + counts.failed == 4
    before = time.monotonic()
    one.close()
    assert time.monotonic() - before < PATIENCE


def test_a_thread_that_does_not_come_back_is_told_to_all() -> None:
    gate, clock = Gate("call"), [0.0]
    one = service(Stage(gate), clock=lambda: clock[0])
    running, waiting = Errand(), Errand(engine="b")
    submit_all(one, [running, waiting])
    gate.wait()
    clock[0] = worker_thread.FIRST
    assert one.trouble is None
    clock[0] += 1.0
    for errand in (running, waiting):
        assert "'call' has not come back from one piece of work for 1801 s" in str(errand.end)
    with pytest.raises(Unavailable, match="has not come back"):
        one.submit(Errand())
    gate.leave_open()
    eventually(lambda: one.trouble is None)  # it came back, and serves again
    later = Errand()
    one.submit(later)
    assert later.end == "finished"
    one.close()


def test_what_is_stuck_is_not_waited_for() -> None:
    gate, clock = Gate("call"), [0.0]
    one, errand = service(Stage(gate), clock=lambda: clock[0]), Errand()
    one.submit(errand)
    gate.wait()
    clock[0] = 10 * worker_thread.FIRST
    one.close()
    assert isinstance(errand.end, Unavailable) or "closed" in str(errand.end)
    gate.leave_open()


def test_patience_is_with_the_work_that_there_is() -> None:
    clock, gate, done = [0.0], threading.Event(), threading.Semaphore(0)

    def work(seconds: float) -> None:
        gate.wait(PATIENCE)
        clock[0] += seconds
        done.release()

    one = worker_thread.WorkerThread[float]("test", work, clock=lambda: clock[0])
    one.start()
    gate.set()
    one.give(20.0)
    done.acquire()
    eventually(lambda: one._begun is None)
    gate.clear()
    one.give(0.0)
    eventually(lambda: one._begun is not None)
    clock[0] += 100 * 20.0
    assert one.stuck is None
    clock[0] += 1.0
    assert one.stuck == 2001.0
    gate.set()
    one.stop()


@pytest.mark.parametrize("what", ["queued", "started", "progress", "finished", "tell"])
def test_an_event_that_cannot_be_made_ends_its_own_request(what: str) -> None:
    class Poor(Errand):
        def poor(self, *_: Any) -> Any:
            raise MemoryError("12 KiB")

        def tell(self, event: Any) -> None:
            if what == "tell" and event == 1:
                self.poor()
            super().tell(event)

    if what != "tell":
        setattr(Poor, what, Poor.poor)
    one, poor, rich = service(Stage()), Poor(calls=3), Errand(calls=3)
    one.submit(rich)
    if what == "queued":
        with pytest.raises(MemoryError):
            one.submit(poor)
    else:
        one.submit(poor)
        assert "MemoryError: 12 KiB" in str(poor.end)
        assert len(poor.ends) == 1
    assert rich.end == "finished"
    assert (one.trouble, len(one.look(lambda scheduler: scheduler.tickets()))) == (None, 0)
    one.close()


@pytest.mark.parametrize("seconds", [1e10, 1e300])
def test_waits_longer_than_a_lock_can_make(seconds: float) -> None:
    one, patient, late = service(Stage()), Errand(), Errand(calls=10**9)
    one.submit(patient, seconds=seconds)
    assert patient.end == "finished"
    one.submit(late, seconds=0.01)
    assert "deadline" in str(late.end)
    one.close()
    gate = Gate("call")
    one, drained = service(Stage(gate)), Errand()
    one.submit(drained)
    gate.wait()
    opening = threading.Timer(0.05, gate.leave_open)
    opening.start()
    assert one.drain(seconds)
    assert drained.end == "finished"
    opening.join()
    one.close()


def test_what_is_dropped_is_taken_back_and_closed() -> None:
    gate, before = Gate("call"), started()
    stage = Stage(gate)
    one, errand = service(stage, batch=1), Errand(calls=9)
    ticket = one.submit(errand)
    gate.wait()
    one.forsake(ticket)
    assert "cancelled" in str(errand.end)
    one.abandon()
    gate.leave_open()
    eventually(lambda: started() == before)
    eventually(lambda: stage.closed == ["a"])
    one.close()
