"""The interfaces that a service needs of its work, and of whoever does it."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from runtime.errors import RuntimeFailure
from runtime.scheduling.ticket import SchedulerTask
from runtime.service.events import Event


class Work(SchedulerTask, Protocol):
    """A task that tells how it goes. `failure` is why it ended without a result."""

    failure: RuntimeFailure | None

    def tell(self, event: Event | RuntimeFailure) -> None:
        """Hear of an event, or of the failure that ended it. Called from any thread; must not raise."""
        ...

    def queued(self, ahead: int) -> Event:
        """Return the event to tell once it is let in, behind so many that have not started."""
        ...

    def started(self) -> Event:
        """Return the event to tell once it is prepared."""
        ...

    def progress(self) -> Event | None:
        """Return the event to tell after a call that did not end it, if any."""
        ...

    def finished(self) -> Event:
        """Return the event to tell in the end."""
        ...


W = TypeVar("W", bound=Work)
C = TypeVar("C", bound=Work, contravariant=True)


class Handler(Protocol[C]):
    """Does what is handed out. Each method is called by one thread at a time, and raises `RuntimeFailure`."""

    def prepare(self, work: C) -> None:
        """Make it ready for its first call."""
        ...

    def open(self, key: Any) -> Any:
        """Open the engine of a key."""
        ...

    def call(self, key: Any, engine: Any, works: Sequence[C]) -> None:
        """Make the next call of each: it is one further, or has ended."""
        ...

    def close(self, key: Any, engine: Any) -> None:
        """Let go of an engine."""
        ...
