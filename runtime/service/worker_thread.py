"""A thread that does one kind of work, a piece at a time."""

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

W = TypeVar("W")


class WorkerThread(Generic[W]):
    """Does what it is given, in order. `work` must not raise."""

    def __init__(self, name: str, work: Callable[[W], None]) -> None:
        self._work = work
        self._given: queue.SimpleQueue[W | None] = queue.SimpleQueue()
        # A daemon, or a program that forgot to close would never end; the service closes itself in the end.
        self._thread = threading.Thread(target=self._run, name=f"aptp-{name}", daemon=True)

    def start(self) -> None:
        """Begin to take work."""
        self._thread.start()

    def give(self, work: W) -> None:
        """Hand over a piece of work."""
        self._given.put(work)

    def stop(self) -> None:
        """Do what was given so far, and end."""
        self._given.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._given.get()) is not None:
            self._work(work)
            del work  # what is done is not kept until more is to be done
