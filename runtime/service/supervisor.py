"""All threads of a service: they start together, or not at all; `trouble` says why they do not serve."""

import logging
from collections.abc import Callable, Sequence

from runtime.service.worker_thread import SupervisedThread

log = logging.getLogger("runtime")


class Supervisor:
    """The threads of a service. `lost` is called in a thread that died, once `trouble` says so."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost, self._death = lost, ""
        self._threads: Sequence[SupervisedThread] = ()

    def start(self, threads: Sequence[SupervisedThread], stop: Callable[[], None]) -> None:
        """Start all threads; where one is not to be had, `stop` those that run. Raises `Unavailable`."""
        self._threads = threads
        try:
            for thread in threads:
                thread.start()
        except BaseException:
            stop()
            raise

    @property
    def trouble(self) -> str | None:
        """Why nobody is served now: a thread died, for good, or is stuck, until it comes back. Else None."""
        if self._death:
            return self._death
        for thread in self._threads:
            if (seconds := thread.stuck) is not None:
                return (
                    f"the thread {thread.name!r} has not come back from one piece of work for {seconds:.0f} "
                    "s; restart the process if it does not recover"
                )
        return None

    def died(self, name: str, error: BaseException) -> None:
        """Hear that a thread died. Called by that thread, with its last breath."""
        self._death = (
            f"the thread {name!r} of the runtime died of {type(error).__name__}: {error}; "
            "open the bundle again, or restart the process"
        )
        log.critical("%s", self._death, exc_info=error)
        self._lost()
