"""Engines that are let go and opened again while others use them, by threads that take turns constantly."""

import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from runtime.scheduling.memory import MemoryBudget
from runtime.scheduling.scheduler import QueueLimits, Scheduler
from runtime.service.dispatcher import Dispatcher
from tests.runtime.service.staging import Errand

WATCHDOG = 60  # seconds


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Engine:
    """Notes what must not happen to it."""

    def __init__(self) -> None:
        self.closed = 0


class Strict:
    """A handler whose engines are opened one at a time, used while open, and closed once."""

    def __init__(self) -> None:
        self.opened: list[Engine] = []
        self.opening = 0
        self.wrong: list[str] = []

    def prepare(self, work: Errand) -> None:
        pass

    def open(self, key: str) -> Engine:
        self.opening += 1
        if self.opening != 1:
            self.wrong.append("two engines were opened at a time")
        self.opened.append(Engine())
        self.opening -= 1
        return self.opened[-1]

    def call(self, key: str, engine: Engine, works: Sequence[Errand]) -> None:
        for work in works:
            work.made += 1
        if engine.closed:
            self.wrong.append("an engine was closed under a call")

    def close(self, key: str, engine: Engine) -> None:
        engine.closed += 1


@pytest.mark.parametrize(
    ("threads", "times"),
    [(8, 40), pytest.param(32, 200, marks=[pytest.mark.fault, pytest.mark.timeout(300)])],
)
def test_one_engine_is_opened_used_and_let_go_by_many(threads: int, times: int) -> None:
    strict = Strict()
    one: Dispatcher[Errand] = Dispatcher(
        Scheduler(QueueLimits(4, None), MemoryBudget(1, lambda key: 1), lambda key: 2), strict
    )
    ends: list[Any] = []

    def use() -> None:
        for _ in range(times):
            errand = Errand(calls=2)
            one.submit(errand)
            one.evict(lambda key: True)
            ends.append(errand.end)

    users = [threading.Thread(target=use, daemon=True) for _ in range(threads)]
    for user in users:
        user.start()
    for user in users:
        user.join(WATCHDOG)
        assert not user.is_alive(), "somebody waits forever"
    one.close()
    assert ends == ["finished"] * (threads * times)
    assert strict.wrong == []
    assert [engine.closed for engine in strict.opened] == [1] * len(strict.opened)
    assert one.look(lambda scheduler: scheduler.memory.used) == 0
