"""A thread that does one kind of work, a piece at a time, and whose end or standstill does not go unheard."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from runtime.machine import threads

W = TypeVar("W")

Died = Callable[[str, BaseException], None]

# A piece of work may take so many times as long as the longest before it, and at least so many seconds; the
# first one, which may unpack or compile, takes its time. Nothing that works is that slow: not on half a core.
TIMES, LEAST, FIRST = 100, 300.0, 1800.0
_GLANCE = 0.5  # seconds between two looks at a thread that is waited for


def _raise(name: str, error: BaseException) -> None:
    raise error


class SupervisedThread:
    """A thread that runs `body` to its end. `died` hears of what it raised instead, in that thread."""

    def __init__(self, name: str, body: Callable[[], None], died: Died = _raise) -> None:
        self.name, self._body, self._died = name, body, died
        # A daemon, or a program that forgot to close would never end; the service closes itself in the end.
        self._thread = threading.Thread(target=self._run, name=f"aptp-{name}", daemon=True)

    def start(self) -> None:
        """Begin. Raises `Unavailable` where the system gives no thread."""
        threads.start(self._thread)

    @property
    def stuck(self) -> float | None:
        """The seconds that it has been in one piece of work, where that is more than work takes."""
        return None

    @property
    def is_current(self) -> bool:
        """Whether this is the thread that asks."""
        return self._thread is threading.current_thread()

    def join(self) -> None:
        """Wait for its end, unless it is this thread, has not begun, or is stuck."""
        while self._thread.is_alive() and not self.is_current:
            if self.stuck is not None:
                return
            self._thread.join(_GLANCE)

    def _run(self) -> None:
        try:
            self._body()
        except BaseException as error:  # noqa: BLE001  # nobody does its work any more, whatever this was
            self._died(self.name, error)


class WorkerThread(SupervisedThread, Generic[W]):
    """Does what it is given, in order, by `work`."""

    def __init__(
        self,
        name: str,
        work: Callable[[W], None],
        died: Died = _raise,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name, self._work_on, died)
        self._work, self._clock = work, clock
        self._given: queue.SimpleQueue[W | None] = queue.SimpleQueue()
        self._begun: float | None = None
        self._longest: float | None = None

    def give(self, work: W) -> None:
        """Hand over a piece of work."""
        self._given.put(work)

    def stop(self) -> None:
        """Do what was given so far, and end."""
        self._given.put(None)
        self.join()

    @property
    def stuck(self) -> float | None:
        """As `SupervisedThread.stuck`."""
        begun, longest = self._begun, self._longest
        if begun is None:
            return None
        seconds = self._clock() - begun
        return seconds if seconds > (FIRST if longest is None else max(LEAST, TIMES * longest)) else None

    def _work_on(self) -> None:
        while (work := self._given.get()) is not None:
            self._begun = begun = self._clock()
            self._work(work)
            self._begun = None
            self._longest = max(self._longest or 0.0, self._clock() - begun)
            del work  # what is done is not kept until more is to be done
