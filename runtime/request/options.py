"""How a request is served, whatever it draws."""

from dataclasses import dataclass

from runtime.cli.values import integer, number
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
        priority, previews = integer(self.priority), integer(self.previews)
        if priority is None or not -1 <= priority <= 1:
            raise UsageError(f"priority {self.priority!r}: give -1, 0 or 1")
        if self.deadline is not None and not (number(self.deadline) or 0) > 0:
            raise UsageError(f"deadline {self.deadline!r}: give a number of seconds above 0")
        if previews is None or previews < 0:
            raise UsageError(f"previews {self.previews!r}: give an integer of at least 0")
