"""A service whose work the test plays: errands of so many calls, engines that wait or fail on command."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.errors import RuntimeFailure
from runtime.scheduling.memory import MemoryBudget
from runtime.scheduling.scheduler import QueueLimits, Scheduler
from runtime.scheduling.ticket import Ticket
from runtime.service.dispatcher import Dispatcher

PATIENCE = 10.0  # seconds that a test waits for what should take none


@dataclass(eq=False)
class Errand:
    """Work of `calls` calls on one engine. `heard` is all that it was told, `over` is set with the end."""

    calls: int = 1
    engine: str = "a"
    made: int = 0
    failure: RuntimeFailure | None = None
    heard: list[Any] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def need(self) -> str:
        return self.engine

    @property
    def upcoming(self) -> None:
        return None

    @property
    def ended(self) -> bool:
        return self.made == self.calls

    def tell(self, event: Any) -> None:
        self.heard.append(event)
        if _is_end(event):
            self.over.set()

    def queued(self, ahead: int) -> Any:
        return f"behind {ahead}"

    def started(self) -> Any:
        return "started"

    def progress(self) -> Any:
        return self.made

    def finished(self) -> Any:
        return "finished"

    @property
    def end(self) -> Any:
        """How it ended, once it has."""
        assert self.over.wait(PATIENCE), f"did not end; heard {self.heard}"
        return self.ends[0]

    @property
    def ends(self) -> list[Any]:
        """All ends that it was told of: one is right."""
        return [event for event in self.heard if _is_end(event)]


def _is_end(event: Any) -> bool:
    return event == "finished" or isinstance(event, RuntimeFailure)


class Stage:
    """The handler. `play(what, key)` is called in the middle of each work, and may wait or raise."""

    def __init__(self, play: Callable[[str, Any], None] = lambda what, key: None) -> None:
        self.play = play
        self.closed: list[str] = []
        self.calls: list[tuple[str, list[Errand]]] = []

    def prepare(self, work: Errand) -> None:
        self.play("prepare", work.engine)

    def open(self, key: str) -> str:
        self.play("open", key)
        return f"engine {key}"

    def call(self, key: str, engine: str, works: Sequence[Errand]) -> None:
        assert engine == f"engine {key}"
        self.calls.append((key, list(works)))
        self.play("call", key)
        for work in works:
            work.made += 1

    def close(self, key: str, engine: str) -> None:
        self.closed.append(key)


class Gate:
    """Stops works of a kind until they are let on, one by one or all."""

    def __init__(self, what: str, key: str | None = None) -> None:
        self._what, self._key = what, key
        self.reached, self._let = threading.Semaphore(0), threading.Semaphore(0)
        self._open = threading.Event()

    def __call__(self, what: str, key: Any) -> None:
        if what == self._what and self._key in (None, key) and not self._open.is_set():
            self.reached.release()
            assert self._let.acquire(timeout=PATIENCE)

    def wait(self) -> None:
        """Until a work has come to the gate."""
        assert self.reached.acquire(timeout=PATIENCE)

    def let_on(self) -> None:
        """The one that is at the gate."""
        self._let.release()

    def leave_open(self) -> None:
        """For everyone from now on."""
        self._open.set()
        self._let.release()


def service(
    stage: Stage,
    running: int = 4,
    queued: int | None = None,
    batch: int = 4,
    engines: int = 4,
    clock: Callable[[], float] | None = None,
) -> Dispatcher[Errand]:
    """Memory holds so many `engines`; `clock`: None for the dispatcher's own."""
    memory = MemoryBudget(engines, lambda key: 1)
    scheduler: Scheduler[Errand] = Scheduler(QueueLimits(running, queued), memory, lambda key: batch)
    return Dispatcher(scheduler, stage, clock) if clock else Dispatcher(scheduler, stage)


def eventually(true: Callable[[], bool]) -> None:
    """Wait for what another thread does without telling."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def submit_all(one: Dispatcher[Errand], errands: Sequence[Errand]) -> list[Ticket[Errand]]:
    return [one.submit(errand) for errand in errands]
