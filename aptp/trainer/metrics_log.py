"""The record of a run: one JSON object per step in `log.jsonl`, a progress line, trackers on request.

A resumed run first cuts the record back to the step it resumes from, so that it reads like an unbroken one's.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from aptp.trainer.trackers import Trackers
from runtime.cli.progress import Counting
from runtime.cli.terminal import say
from runtime.errors import IntegrityError, StorageError, unusable
from runtime.files.publish import write_file
from runtime.files.source import read_source

NAME = "log.jsonl"
MOST = 4 << 30  # bytes of a record
WAY_OUT = "put it right, or move it away to go on without it"
LINE_EVERY = 30.0  # seconds between progress lines where there is no terminal


class MetricsLog:
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
        trackers: Sequence[str] = (),
        silent: bool = False,
    ) -> None:
        self._steps, self._title, self._done = steps, title, done
        path = Path(os.devnull) if silent else folder / NAME
        if not silent:
            _cut(path, done)
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise StorageError(unusable(error)) from error
        self._console = Console(stderr=True, quiet=silent)
        try:
            self._trackers = Trackers(() if silent else trackers, folder, done, self.say)
        except BaseException:
            self._file.close()
            raise
        self._progress = Counting(self._console, every=LINE_EVERY)
        self._progress.begin(title, steps, done)
        self._began = time.monotonic()

    def __enter__(self) -> "MetricsLog":
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, trace)
        with suppress(OSError):  # a full disk, as `step` has told
            self._file.close()
        self._trackers.finish()

    def step(self, step: int, figures: Mapping[str, float]) -> None:
        """Record a step, counted from 0. Raises StorageError."""
        try:
            self._file.write(json.dumps({"step": step, **{k: _short(v) for k, v in figures.items()}}) + "\n")
            self._file.flush()
        except OSError as error:
            raise StorageError(f"the record {self._file.name} cannot be written: {error.strerror}") from error
        self._trackers.log(step, figures)
        rate = (step + 1 - self._done) / (time.monotonic() - self._began)
        shown = f"loss {figures['loss']:.4f}, {rate:.2f} steps/s"
        self._progress.tell(self._title, step + 1, self._steps, shown)

    def show(self, step: int, pictures: npt.NDArray[np.uint8]) -> None:
        """Show what was drawn after `step` steps, [N, H, W, 3], in the trackers."""
        self._trackers.show(step, "pictures", pictures)

    def say(self, line: str) -> None:
        say(self._console, line)


def read(folder: Path) -> list[dict[str, Any]]:
    """Read the steps recorded so far. Raises IntegrityError for what is no record."""
    return [entry for _, entry in _steps(folder / NAME)]


def _steps(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each line of a record with its step; not one that was being written."""
    try:
        lines = read_source(path, MOST).decode().splitlines(keepends=True)
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise IntegrityError(f"the record {path} cannot be read ({error}); {WAY_OUT}") from error
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            return
        try:
            entry = json.loads(line)
            is_step = isinstance(entry["step"], int) and isinstance(entry["seconds"], int | float)
        except (ValueError, LookupError, TypeError, RecursionError):
            is_step = False
        if not is_step:
            raise IntegrityError(f"{path}, line {number} is not the record of a step; {WAY_OUT}")
        yield line, entry


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _cut(path: Path, done: int) -> None:
    """Drop what was recorded at or after step `done`, and a line that was being written."""
    if not path.exists():
        return
    kept = []
    for line, entry in _steps(path) if done else ():
        if entry["step"] >= done:
            break
        kept.append(line)
        if entry["step"] == done - 1:  # what lies behind may be what a power failure left
            break
    try:
        write_file(path, "".join(kept))
    except OSError as error:
        raise StorageError(unusable(error)) from error
