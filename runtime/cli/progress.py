"""Progress on standard error, which names what is measured: a line that moves on a terminal, plain lines
elsewhere.
"""

from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.status import Status


class Progress:
    """A context manager; inside it, `begin` names what comes and `round` counts it."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        times = TimeElapsedColumn(), TimeRemainingColumn()
        self._bar = Bar(*columns, *times, console=console, transient=True, disable=not console.is_terminal)
        self._console, self._what = console, ""
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, what: str) -> None:
        """Tell what is measured from now on."""
        self._what = what
        self._bar.reset(self._task, total=None, description=what)
        if not self._console.is_terminal:
            self._console.print(what, highlight=False, markup=False, soft_wrap=True)

    def round(self, phase: str, done: int, expected: int) -> None:
        """Tell how far it is; a warm-up ends when it ends."""
        total = expected if phase == "round" else None
        self._bar.update(self._task, description=f"{self._what}: {phase}", completed=done, total=total)


def stages(console: Console, status: Status) -> Callable[[str], None]:
    """Tell which stage begins: in the status line, or on a line of its own without a terminal."""

    def tell(stage: str) -> None:
        status.update(stage)
        if not console.is_terminal:
            console.print(stage)

    return tell
