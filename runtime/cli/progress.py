"""Progress on standard error: bars on a terminal, and plain lines for logs elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.status import Status

from runtime.cli.terminal import say


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
            say(self._console, what)

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


class Counting:
    """A context manager; inside it, `tell` counts things, as bars or as a line every `every` seconds."""

    def __init__(self, console: Console, *, every: float = 20.0) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        extra = TextColumn("{task.fields[figures]}"), TimeRemainingColumn()
        self._bar = Bar(*columns, *extra, console=console, transient=True, disable=not console.is_terminal)
        self._console, self._every = console, every
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, tuple[float, int]] = {}
        self._told = time.monotonic()

    def __enter__(self) -> "Counting":
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._bar.stop()

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """Tell that `what` begins, of which `done` were done in an earlier run."""
        self._began[what] = time.monotonic(), done
        self._tasks[what] = self._bar.add_task(what, total=total, completed=done, figures="")

    def tell(self, what: str, done: int, total: int, figures: str = "") -> None:
        """Tell that `done` of `total` are done; `figures` say how it goes."""
        if what not in self._began:
            self.begin(what, total)
        self._bar.update(self._tasks[what], completed=done, total=total, figures=figures)
        now, (start, before) = time.monotonic(), self._began[what]
        if self._bar.disable and done > before and (now - self._told > self._every or done == total):
            self._told = now
            left = time_left((now - start) / (done - before) * (total - done))
            say(self._console, ", ".join(filter(None, (f"{what}: {done} of {total}", figures, left))))


def time_left(seconds: float) -> str:
    """`about 90 s left`, or minutes where it is longer."""
    return f"about {seconds:.0f} s left" if seconds < 100 else f"about {seconds / 60:.0f} min left"
