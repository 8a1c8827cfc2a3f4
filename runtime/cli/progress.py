"""Progress on standard error: bars on a terminal, and plain lines for logs elsewhere."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.status import Status

from runtime.cli.terminal import say


class _Bars:
    """Bars that are shown inside `with`, and only on a terminal."""

    def __init__(self, console: Console, *columns: ProgressColumn) -> None:
        self._console, self._terminal = console, console.is_terminal
        label = TextColumn("{task.description}")
        self._bars = RichProgress(
            label, BarColumn(), *columns, console=console, transient=True, disable=not self._terminal
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


class Progress(_Bars):
    """The progress of one thing after another: `begin` names what comes, and `round` counts it."""

    def __init__(self) -> None:
        super().__init__(
            Console(stderr=True), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
        )
        self._what = ""
        self._task = self._bars.add_task("", total=None)

    def begin(self, what: str) -> None:
        """Tell what is measured from now on."""
        self._what = what
        self._bars.reset(self._task, total=None, description=what)
        if not self._terminal:
            say(self._console, what)

    def round(self, phase: str, done: int, expected: int) -> None:
        """Tell how far it is; a warm-up ends when it ends."""
        total = expected if phase == "round" else None
        self._bars.update(self._task, description=f"{self._what}: {phase}", completed=done, total=total)


def stages(console: Console, status: Status) -> Callable[[str], None]:
    """Tell which stage begins: in the status line, or on a line of its own without a terminal."""

    def tell(stage: str) -> None:
        status.update(stage)
        if not console.is_terminal:
            console.print(stage)

    return tell


class Counting(_Bars):
    """The progress of things that are counted: `tell` shows bars, or a line every `every` seconds."""

    def __init__(self, console: Console, *, every: float = 20.0) -> None:
        figures = TextColumn("{task.fields[figures]}")
        super().__init__(console, MofNCompleteColumn(), figures, TimeRemainingColumn())
        self._every = every
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, tuple[float, int]] = {}
        self._told = time.monotonic()

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """Tell that `what` begins, of which `done` were done in an earlier run."""
        self._began[what] = time.monotonic(), done
        self._tasks[what] = self._bars.add_task(what, total=total, completed=done, figures="")

    def tell(self, what: str, done: int, total: int, figures: str = "") -> None:
        """Tell that `done` of `total` are done; `figures` say how it goes."""
        if what not in self._began:
            self.begin(what, total)
        self._bars.update(self._tasks[what], completed=done, total=total, figures=figures)
        now, (start, before) = time.monotonic(), self._began[what]
        if not self._terminal and done > before and (now - self._told > self._every or done == total):
            self._told = now
            left = time_left((now - start) / (done - before) * (total - done))
            say(self._console, ", ".join(filter(None, (f"{what}: {done} of {total}", figures, left))))


class WorkItem(Protocol):
    """A part of the work; `effort` is its share of the time, on any scale."""

    @property
    def name(self) -> str: ...

    @property
    def effort(self) -> float: ...


class PartsProgress(_Bars):
    """The progress of `parts` made several at a time: the stage of each, and the time left for all."""

    def __init__(self, console: Console, parts: Sequence[WorkItem]) -> None:
        super().__init__(console, TextColumn("{task.fields[stage]}"), TimeElapsedColumn())
        self._efforts = {part.name: part.effort for part in parts}
        self._shares = dict.fromkeys(self._efforts, 0.0)
        self._start = time.monotonic()
        self._tasks: dict[str, TaskID] = {}
        self._total = self._bars.add_task("all", total=1.0, stage="")

    def stage(self, name: str, stage: str, share: float) -> None:
        """Tell that part `name` has entered `stage`, with `share` of its work done."""
        self._shares[name] = share
        if self._terminal:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=1.0, stage=stage)
            self._bars.update(self._tasks[name], completed=share, stage=stage)
            self._bars.update(self._total, completed=self._done(), stage=self._left())
        else:
            self._line(f"{name}: {stage}")

    def end(self, name: str, failure: object | None) -> None:
        """Tell that part `name` is finished, or has failed for the reason in `failure`."""
        self._shares[name] = 1.0
        if self._terminal and name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))
        if failure is not None:
            self._line(f"{name}: {failure}")
        elif not self._terminal:
            self._line(f"{name}: done")

    def _line(self, text: str) -> None:
        spent = time.monotonic() - self._start
        say(self._console, f"[{spent:6.1f} s, {self._left()}] {text}")

    def _done(self) -> float:
        total = sum(self._efforts.values())
        return (
            sum(self._efforts[name] * share for name, share in self._shares.items()) / total if total else 1.0
        )

    def _left(self) -> str:
        done = self._done()
        if done < 0.02:
            return "time left unknown"
        left = (time.monotonic() - self._start) * (1 - done) / done
        return time_left(left)


def time_left(seconds: float) -> str:
    """Return such as `about 90 s left`; minutes where it is longer."""
    return f"about {seconds:.0f} s left" if seconds < 100 else f"about {seconds / 60:.0f} min left"
