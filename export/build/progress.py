"""The progress of a build or a profile: every part's stage and the time left, on stderr.

On a terminal these are bars; elsewhere one plain line per change, so that a log can be read.
"""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from runtime.cli.progress import time_left
from runtime.cli.terminal import say


class WorkItem(Protocol):
    """A part of the whole; `effort` is its weight."""

    @property
    def name(self) -> str: ...

    @property
    def effort(self) -> float: ...


class BuildProgress:
    """A context manager around the making of `parts`."""

    def __init__(self, console: Console, parts: Sequence[WorkItem]) -> None:
        self._console = console
        self._efforts = {part.name: part.effort for part in parts}
        self._shares = dict.fromkeys(self._efforts, 0.0)
        self._start = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[stage]}"),
            TimeElapsedColumn(),
        )
        self._bars = Progress(*columns, console=console, transient=True) if console.is_terminal else None
        self._tasks: dict[str, TaskID] = {}
        if self._bars:
            self._total = self._bars.add_task("all", total=1.0, stage="")

    def __enter__(self) -> "BuildProgress":
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def stage(self, name: str, stage: str, share: float) -> None:
        """Part `name` has entered `stage`, with `share` of it behind."""
        self._shares[name] = share
        if self._bars:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=1.0, stage=stage)
            self._bars.update(self._tasks[name], completed=share, stage=stage)
            self._bars.update(self._total, completed=self._done(), stage=self._left())
        else:
            self._line(f"{name}: {stage}")

    def end(self, name: str, failure: object | None) -> None:
        """Part `name` is finished, or has failed as `failure` tells."""
        self._shares[name] = 1.0
        if self._bars and name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))
        if failure is not None:
            self._line(f"{name}: {failure}")
        elif not self._bars:
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
