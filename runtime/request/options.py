"""How a request is served, whatever it draws."""

import math
from dataclasses import dataclass

from runtime.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOptions:
    """Higher `priority` first: one step, of -1, 0 and 1, is worth having come ten seconds earlier.

    `deadline`: seconds from now until the image is there, waiting included. `previews`: how many of the steps
    show what the image will be. `progress` asks for an event a step, `latents` for the latents in it; both
    take the cores from calls, so a request must ask for them.
    """

    priority: int = 0
    deadline: float | None = None
    previews: int = 0
    progress: bool = False
    latents: bool = False

    def check(self) -> None:
        """Refuse what cannot be served. Raises `UsageError`."""
        if not _is_integer(self.priority) or not -1 <= self.priority <= 1:
            raise UsageError(f"priority {self.priority!r}: give -1, 0 or 1")
        seconds = self.deadline
        if seconds is not None and not (_is_number(seconds) and seconds > 0):
            raise UsageError(f"deadline {seconds!r}: give a number of seconds above 0")
        if not _is_integer(self.previews) or self.previews < 0:
            raise UsageError(f"previews {self.previews!r}: give an integer of at least 0")


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
