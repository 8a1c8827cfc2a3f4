"""The scheduler's record of a request, and what it asks of the work behind it."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, Protocol, TypeVar

Key = Hashable  # an engine specialised to what it serves: whoever needs the same key can share a call


class SchedulerTask(Protocol):
    """Work that takes one call after another on engines."""

    @property
    def need(self) -> Key:
        """The engine of the next call. Asked once the task is prepared, and until it has ended."""
        ...

    @property
    def upcoming(self) -> Key | None:
        """The engine that follows the one needed now, where it is another."""
        ...

    @property
    def ended(self) -> bool:
        """Whether no call is left to be made."""
        ...


class TicketState(Enum):
    """Where a request is on its way."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    ENDED = "ended"


class TicketEnd(Enum):
    """How a request ended."""

    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


T = TypeVar("T", bound=SchedulerTask)


@dataclass(eq=False, slots=True)
class Ticket(Generic[T]):
    """An admitted request. Lower `rank` first; `deadline` is a time of the scheduler's clock, in seconds."""

    task: T
    rank: tuple[float, int]
    deadline: float | None = None
    state: TicketState = field(default=TicketState.QUEUED)
    end: TicketEnd | None = field(default=None)
