"""Deadlines to the moment, by a clock that nobody sets; neighbours that are cancelled, and leave no trace."""

import random
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from runtime.errors import Cancelled, DeadlineExceeded, QueueFull
from tests.runtime.service.staging import Errand, Gate, Stage, eventually

ROOT = Path(__file__).resolve().parents[2]
PRECISION = 0.02  # seconds


@dataclass(eq=False)
class Timed(Errand):
    """Notes when it ended."""

    gone: float = 0.0

    def tell(self, event: Any) -> None:
        self.gone = time.monotonic()
        super().tell(event)


def test_who_waits_too_long_is_told_at_the_deadline_and_never_begun(made: Any) -> None:
    gate = Gate("call")
    stage = Stage(gate)
    one = made(stage, running=1, batch=1)
    first = Errand()
    one.submit(first)
    gate.wait()
    late: list[float] = []
    for number in range(20):
        errand, seconds = Timed(), 0.02 + 0.005 * number
        start = time.monotonic()
        one.submit(errand, seconds=seconds)
        due = time.monotonic() + seconds  # at the latest
        assert isinstance(errand.end, DeadlineExceeded)
        assert errand.gone - start >= seconds, "nobody's time is cut"
        assert errand.heard[:-1] == ["behind 0"]
        late.append(errand.gone - due)
    gate.leave_open()
    assert first.end == "finished"
    # The most of them, so that a machine which gives this process no time now and then is no failure.
    assert median(late) < PRECISION
    assert [works for _, works in stage.calls] == [[first]]


def test_the_time_of_day_is_nobodys_deadline() -> None:
    """In a process whose wall clock is set forward by an hour while requests have deadlines."""
    script = """
    import time
    from contextlib import closing

    ahead, wall = [0.0], time.time
    time.time = lambda: wall() + ahead[0]  # before anything of ours is imported

    from runtime.errors import DeadlineExceeded
    from tests.runtime.service.staging import Errand, Gate, Stage, service

    gate = Gate("call")
    with closing(service(Stage(gate), running=1, batch=1)) as one:
        patient, hasty = Errand(calls=3), Errand()
        one.submit(patient, seconds=600.0)
        gate.wait()
        ahead[0] = 3600.0
        one.submit(hasty, seconds=0.05)
        hurried = hasty.end  # deadlines were looked at until now
        gate.leave_open()
        assert isinstance(hurried, DeadlineExceeded), hurried
        assert patient.end == "finished", patient.end
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, check=True, timeout=60)


def test_a_slot_is_taken_over_within_a_step(made: Any) -> None:
    gate = Gate("call")
    stage = Stage(gate)
    one = made(stage, running=1, queued=0, batch=1)
    running, next_one = Errand(calls=100), Errand()
    ticket = one.submit(running)
    for _ in range(3):  # somewhere on its way
        gate.wait()
        gate.let_on()
    gate.wait()
    with pytest.raises(QueueFull):
        one.submit(next_one)
    one.cancel(ticket)
    one.submit(next_one)  # at once, while the call that cannot be stopped goes on
    gate.leave_open()
    assert next_one.end == "finished"
    assert isinstance(running.end, Cancelled)
    assert [works for _, works in stage.calls] == [[running]] * 4 + [[next_one]]


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.fault)])
def test_everyone_is_counted_once_in_a_crowd(made: Any, count: int) -> None:
    """Random refusals, cancels (some of them twice, or too late), deadlines and failures, all at a time."""
    rng, calls = random.Random(count), iter(range(10**9))

    def play(what: str, key: Any) -> None:
        if what == "call" and next(calls) % 17 == 0:
            raise MemoryError("no more")

    one = made(Stage(play), running=4, queued=16, batch=2, engines=2)
    errands: list[Errand] = []
    refused = 0
    lock = threading.Lock()

    def use(seed: int) -> None:
        nonlocal refused
        own = random.Random(seed)
        for _ in range(count // 4):
            errand = Errand(calls=own.randint(1, 5), engine=own.choice("abc"))
            try:
                ticket = one.submit(errand, seconds=own.choice([None, None, 1e-6, 0.01]))
            except QueueFull:
                with lock:
                    refused += 1
                continue
            with lock:
                errands.append(errand)
            for _ in range(own.choice([0, 0, 1, 2])):
                one.cancel(ticket)

    threads = [threading.Thread(target=use, args=(rng.random(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    ends = Counter(type(errand.end).__name__ for errand in errands)
    eventually(lambda: one.look(len) == 0)
    assert all(len(errand.ends) == 1 for errand in errands)
    counts = one.look(lambda scheduler: scheduler.counts)
    assert (counts.admitted, counts.rejected) == (len(errands), refused)
    assert (counts.finished, counts.cancelled, counts.expired, counts.failed) == (
        ends["str"],
        ends["Cancelled"],
        ends["DeadlineExceeded"],
        ends["EngineFailure"],
    )
    assert counts.admitted + counts.rejected == 4 * (count // 4)
