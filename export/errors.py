"""Every error that `export` raises to its users, and the exit code of each.

ExportError                       1  a build that did not come out whole
├── UsageError                    2  an option that cannot be meant
├── RefusedError                  3  an input or a place this build will not work with
│   ├── ScheduleError                a diffusers scheduler that is not a table
│   ├── WeightError                  a tensor that float16 cannot hold
│   ├── LockedError                  another build is at work on the same bundle
│   └── StorageError                 a file or folder that cannot be read or written
├── DiskFullError                 1  no room for a file; the previous bundle is untouched
└── PartError                     1  one part of the bundle could not be made
    ├── ParityError                  its outputs differ from the oracle's
    ├── OutputError                  its outputs are blank, constant or not finite
    ├── UnsupportedGraphError        an engine's parser does not take its graph
    ├── BuilderError                 an engine's builder gave up
    └── CrashError                   the process that made it died
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class ExportError(Exception):
    """Base of the tree; `exit_code` is what the command line ends with."""

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross from a part's process to the build; their constructors take more than the message.
        return _revive, (type(self), self.args, self.__dict__)


def _revive(kind: type[ExportError], args: tuple[Any, ...], state: dict[str, Any]) -> ExportError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(ExportError):
    """An option that cannot be meant."""

    exit_code = 2


class RefusedError(ExportError):
    """An input or a place this build will not work with."""

    exit_code = 3


class ScheduleError(RefusedError):
    """A scheduler that cannot be written as a table; `field` is the config field to change, where known."""

    def __init__(self, solver: str, field: str | None, why: str) -> None:
        where = f" because of its config field {field}" if field else ""
        super().__init__(f"solver {solver} cannot be a table{where}: {why}")
        self.solver = solver
        self.field = field


class WeightError(RefusedError):
    """A tensor that float16 cannot hold."""


class LockedError(RefusedError):
    """Another build is at work on the same bundle; `pid` is its process, 0 where unknown."""

    def __init__(self, path: Path, pid: int) -> None:
        holder = pid or "unknown"
        super().__init__(f"{path}: locked by pid {holder}; wait for that build or choose another --out")
        self.path = path
        self.pid = pid


class StorageError(RefusedError):
    """A file or folder that cannot be read or written; made from the system's own error."""

    def __init__(self, error: OSError) -> None:
        where = f"{error.filename}: " if error.filename else ""
        super().__init__(f"{where}{error.strerror or error}; see to its place and rights, and run it again")


class DiskFullError(ExportError):
    """No room for a file; what was half-written is gone and the previous bundle is untouched."""

    def __init__(self, path: Path, needed: int) -> None:
        super().__init__(
            f"{path}: no space left, {needed:,} bytes needed; free some and run the same command again"
        )
        self.path = path
        self.needed = needed


class PartError(ExportError):
    """One part of the bundle could not be made; the others are published."""


class ParityError(PartError):
    """A part whose outputs differ from the oracle's by more than the tolerance of its rung."""

    def __init__(self, rung: str, error: float, tolerance: float) -> None:
        super().__init__(f"parity rung {rung}: error {error:.3g} is above the tolerance {tolerance:.3g}")
        self.rung = rung
        self.error = error
        self.tolerance = tolerance


class OutputError(PartError):
    """Outputs that are blank, constant or not finite."""


class UnsupportedGraphError(PartError):
    """A graph with operators or types that an engine's parser does not take."""


class BuilderError(PartError):
    """An engine's builder gave up; the message is its own, with what to do about it."""


class CrashError(PartError):
    """The process that made a part died; the message names the signal."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an unknown-name message: the nearest right one, or all of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
