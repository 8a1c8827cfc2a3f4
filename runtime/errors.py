"""Every error that `aptp`, `export` and `runtime` raise to their users, with the exit code each one becomes.

AptpError                          1
├── RuntimeFailure                 1   whatever opening a bundle or serving a request may end with
│   ├── UsageError                 2   a value the caller gave cannot be used (also a ValueError)
│   │   ├── FieldError                 one field of a request is at fault
│   │   ├── SpaceError                 a UNet cannot be pruned this way, or a code does not fit its space
│   │   ├── BudgetError                no architecture of the space has the cost asked for
│   │   └── TableError                 a profile cannot be read, or is of another UNet or size
│   ├── Refused                    3   an input or a place that it would not be safe to work with
│   │   ├── NotABundle                 there is no bundle at the path
│   │   ├── ManifestError              the manifest breaks the format's rules
│   │   ├── IntegrityError             a file is not the one that was published
│   │   ├── EnvironmentMismatch        this machine lacks what was asked for
│   │   ├── CheckpointError            the folder is not a checkpoint, or its parts do not fit together
│   │   ├── EncoderError               an encoder's weights cannot be read, or are another network's
│   │   ├── DataError                  captioned images not laid out as they should be, or none is left
│   │   ├── ScheduleError              a diffusers scheduler is not a table
│   │   ├── WeightError                a tensor does not fit into float16
│   │   ├── Forked                     what a process opened is used in a child that it forked afterwards
│   │   └── LockedError                another process is at work on the same place
│   ├── CodeUnavailable            1   the bundle holds no expert for the code
│   │   └── Quarantined                    it holds one, which failed too often and is left alone for a while
│   ├── Rejected                   1   the request was not served, and may be asked for again
│   │   ├── QueueFull                  too many are waiting
│   │   ├── DeadlineExceeded           it was not done in time
│   │   ├── Cancelled                  whoever asked took it back
│   │   ├── Closed                     the runtime is closing
│   │   └── Unavailable                a thread of the runtime did not start, died, or does not come back
│   ├── CacheFailure               1   a derived file could not be written, or its folder is open to others
│   ├── OutputFailure              1   an image or a report could not be written
│   ├── EngineFailure              1   an engine did not load, did not run, or returned nonsense
│   └── PeerFailure                1   a program to compare with cannot run here, or stopped
├── TrainingError                  1   a run cannot go on: its loss is no longer a number
├── StorageError                   1   a place cannot be written
│   └── DiskFullError                  no room for a file; the previous bundle is untouched
└── PartError                      1   one part of a bundle could not be made
    ├── ParityError                    its outputs differ from the oracle's
    ├── OutputError                    its outputs are blank, constant or not finite
    ├── UnsupportedGraphError          an engine's parser does not take its graph
    ├── BuilderError                   an engine's builder or compiler gave up
    └── CrashError                     the process that made it died

Every message says what is wrong, where, and what to do about it.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class AptpError(Exception):
    """Base of everything below; `exit_code` is what a command line ends with."""

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross between processes; the constructors of some take more than the message.
        return _revive, (type(self), self.args, self.__dict__)


def _revive(kind: type[AptpError], args: tuple[Any, ...], state: dict[str, Any]) -> AptpError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class RuntimeFailure(AptpError):
    """Base of what opening a bundle or serving a request may end with."""


class UsageError(RuntimeFailure, ValueError):
    """A value the caller gave cannot be used."""

    exit_code = 2


class FieldError(UsageError):
    """A value of a request's `field` cannot be used."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)
        self.field = field

    def __str__(self) -> str:
        return str(self.args[1])


class SpaceError(UsageError):
    """A UNet cannot be pruned this way, or a code does not fit its space."""


class BudgetError(UsageError):
    """No architecture of the space has the cost asked for."""


class TableError(UsageError):
    """A profile cannot be read, or is of another UNet or size."""


class Refused(RuntimeFailure):
    """Going on would not be safe: an input or a place is none to work with."""

    exit_code = 3


class NotABundle(Refused):
    """There is no bundle at the path: nothing, nothing readable, or something else."""


class ManifestError(Refused):
    """The manifest breaks the rules of docs/BUNDLE.md."""


class IntegrityError(Refused):
    """A file's bytes are not those that the manifest or the checkpoint's index lists."""


class EnvironmentMismatch(Refused):
    """This machine lacks what was asked for."""


class CheckpointError(Refused):
    """The folder is not a checkpoint, or its parts do not fit together."""


class EncoderError(Refused):
    """The weights of an encoder of pictures or captions cannot be read, or are another network's."""


class DataError(Refused):
    """Captioned images are not laid out as they should be, or none is left."""


class ScheduleError(Refused):
    """A scheduler cannot be written as a table; `field` is the config field to change, where known."""

    def __init__(self, solver: str, field: str | None, why: str) -> None:
        where = f" because of its config field {field}" if field else ""
        super().__init__(f"solver {solver} cannot be a table{where}: {why}")
        self.solver = solver
        self.field = field


class WeightError(Refused):
    """A tensor does not fit into float16."""


class Forked(Refused):
    """A bundle that was opened in one process is used in another, which was forked from that later."""


class LockedError(Refused):
    """Another process is at work on the same place; `pid` is its process, 0 where unknown."""

    def __init__(self, path: Path, pid: int, remedy: str, waited: float = 0.0) -> None:
        how_long = f", {waited:.0f} s waited" if waited >= 1 else ""
        super().__init__(f"{path}: locked by pid {pid or 'unknown'}{how_long}; {remedy}")
        self.path = path
        self.pid = pid


class CodeUnavailable(RuntimeFailure):
    """The bundle holds no expert for the code, and names no fallback."""


class Quarantined(CodeUnavailable):
    """The code's expert failed too often; it may be asked again in `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class Rejected(RuntimeFailure):
    """The request was not served, for no fault of its own: it may be asked for again."""


class QueueFull(Rejected):
    """Too many requests are waiting; one may find room in `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceeded(Rejected):
    """The request's deadline passed before its image was there."""


class Cancelled(Rejected):
    """The request was taken back by whoever asked."""


class Closed(Rejected):
    """The runtime is closing, or closed: it takes no more requests."""


class Unavailable(Rejected):
    """The runtime cannot serve: one of its threads did not start, died, or does not come back."""


class CacheFailure(RuntimeFailure):
    """A derived file could not be written, or its folder is open to other users."""


class OutputFailure(RuntimeFailure):
    """An image or a report could not be written."""


class EngineFailure(RuntimeFailure):
    """An engine did not load, did not run, or returned something that is no result."""


class PeerFailure(RuntimeFailure):
    """A program that a benchmark compares with cannot run here, or stopped."""


class TrainingError(AptpError):
    """A run cannot go on: its loss is no longer a number."""


class StorageError(AptpError):
    """A place cannot be written."""


class DiskFullError(StorageError):
    """No room for a file; what was half-written is gone and the previous bundle is untouched."""

    def __init__(self, path: Path, needed: int) -> None:
        super().__init__(
            f"{path}: no space left, {needed:,} bytes needed; free some and run the same command again"
        )
        self.path = path
        self.needed = needed


class PartError(AptpError):
    """One part of the bundle could not be made; the others are published."""


class ParityError(PartError):
    """A part's outputs differ from the oracle's by more than the tolerance of its rung."""

    def __init__(self, rung: str, error: float, tolerance: float) -> None:
        super().__init__(f"parity rung {rung}: error {error:.3g} is above the tolerance {tolerance:.3g}")
        self.rung = rung
        self.error = error
        self.tolerance = tolerance


class OutputError(PartError):
    """Outputs are blank, constant or not finite."""


class UnsupportedGraphError(PartError):
    """A graph has operators or types that an engine's parser does not take."""


class BuilderError(PartError):
    """An engine's builder or compiler gave up; the message is its own, with what to do about it."""


class CrashError(PartError):
    """The process that made a part died; the message names the signal."""


def unusable(error: OSError) -> str:
    """Return the message for a file or folder that the system does not let us use."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; see to its place and rights, and run it again"


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the closest of `known`, or the empty string. Long names are not compared."""
    matches = difflib.get_close_matches(name, list(known), n=1) if len(name) <= 64 else []
    return f" (did you mean {matches[0]!r}?)" if matches else ""
