"""The record of a run: one JSON object per step in `log.jsonl`, a progress line, TensorBoard on request.

A resumed run first cuts the record back to the step it resumes from, so that it reads like an unbroken one's.
"""

import json
import os
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from runtime.files.publish import write_file

NAME = "log.jsonl"
LINE_EVERY = 30.0  # seconds between progress lines where there is no terminal


class Journal:
    """The journal of a run of `steps` steps in `folder`, of which `done` were made before.

    `silent`: neither records nor shows anything; for processes that only help.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        steps: int,
        done: int,
        *,
        tensorboard: bool = False,
        silent: bool = False,
    ) -> None:
        self._steps, self._title, self._done = steps, title, done
        path = Path(os.devnull) if silent else folder / NAME
        if not silent:
            _cut(path, done)
        self._file = path.open("a")
        self._board = _board(folder, done) if tensorboard and not silent else None
        self._console = Console(stderr=True, quiet=silent)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=steps, completed=done, figures="")
        self._began = self._told = time.monotonic()

    def __enter__(self) -> "Journal":
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._bar.stop()
        self._file.close()
        if self._board is not None:
            self._board.close()

    def step(self, step: int, figures: Mapping[str, float]) -> None:
        """Record a step, counted from 0."""
        self._file.write(json.dumps({"step": step, **{k: _short(v) for k, v in figures.items()}}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(name, value, step)
        self._bar.update(self._task, completed=step + 1, figures=f"loss {figures['loss']:.4f}")
        now = time.monotonic()
        if self._bar.disable and now - self._told > LINE_EVERY:
            self._told = now
            each = (now - self._began) / (step + 1 - self._done)
            left = timedelta(seconds=round(each * (self._steps - step - 1)))
            self.say(
                f"{self._title}: {step + 1} of {self._steps}, loss {figures['loss']:.4f}, "
                f"{1 / each:.2f} steps/s, {left} left"
            )

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def read(folder: Path) -> list[dict[str, Any]]:
    """Read the steps recorded so far."""
    path = folder / NAME
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _cut(path: Path, done: int) -> None:
    """Drop what was recorded at or after step `done`, and a line that was being written."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines(keepends=True):
        if not line.endswith("\n") or json.loads(line)["step"] >= done:
            break
        kept.append(line)
    write_file(path, "".join(kept))


def _board(folder: Path, done: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=done)
