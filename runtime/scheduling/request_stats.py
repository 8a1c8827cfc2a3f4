"""Counts of what became of all requests: every one that was admitted is in exactly one of them."""

from dataclasses import dataclass, field

from runtime.scheduling.ticket import TicketEnd

_SMOOTHING = 0.2


@dataclass(slots=True)
class RequestStats:
    """Requests so far, by how they ended. `pace`: seconds between two that finish, while there is work."""

    admitted: int = 0
    rejected: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    pace: float = 1.0
    _last: float | None = field(default=None)

    def add(self, end: TicketEnd) -> None:
        """Count a request that ended."""
        setattr(self, end.value, getattr(self, end.value) + 1)

    def noted_finish(self, now: float, count: int, *, more: bool) -> None:
        """Learn the pace from `count` that finished; without `more` to do, the next gap tells nothing."""
        if self._last is not None:
            self.pace += _SMOOTHING * ((now - self._last) / count - self.pace)
        self._last = now if more else None
