"""Every error the runtime raises to its users, with the exit code each one becomes.

RuntimeFailure                   1
├── UsageError                   2   a value the caller gave cannot be used (also a ValueError)
├── Refused                      3   going on would not be safe
│   ├── NotABundle                   there is no bundle at the path
│   ├── ManifestError                the manifest breaks the format's rules
│   ├── IntegrityError               a file is not the one the manifest lists
│   └── EnvironmentMismatch          this machine lacks what was asked for
├── CodeUnavailable              1   the bundle holds no expert for the code
├── Rejected                     1   the request was not served, and may be asked for again
│   ├── QueueFull                    too many are waiting
│   ├── DeadlineExceeded             it was not done in time
│   ├── Cancelled                    whoever asked took it back
│   └── Closed                       the runtime is closing
├── CacheFailure                 1   a derived file could not be written
├── OutputFailure                1   an image or a report could not be written
├── EngineFailure                1   an engine did not load, did not run, or returned nonsense
└── PeerFailure                  1   a program to compare with cannot run here, or stopped
"""

import difflib
from collections.abc import Iterable


class RuntimeFailure(Exception):
    """Base of everything below. The message says what, where, and what to do."""

    exit_code = 1


class UsageError(RuntimeFailure, ValueError):
    """A value the caller gave cannot be used."""

    exit_code = 2


class Refused(RuntimeFailure):
    """Going on would not be safe."""

    exit_code = 3


class NotABundle(Refused):
    """There is no bundle at the path: nothing, nothing readable, or something else."""


class ManifestError(Refused):
    """The manifest breaks the rules of docs/BUNDLE.md."""


class IntegrityError(Refused):
    """A file's bytes are not those that the manifest lists."""


class EnvironmentMismatch(Refused):
    """This machine lacks what was asked for."""


class CodeUnavailable(RuntimeFailure):
    """The bundle holds no expert for the code, and names no fallback."""


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


class CacheFailure(RuntimeFailure):
    """A derived file could not be written."""


class OutputFailure(RuntimeFailure):
    """An image or a report could not be written."""


class EngineFailure(RuntimeFailure):
    """An engine did not load, did not run, or returned something that is no result."""


class PeerFailure(RuntimeFailure):
    """A program that a benchmark compares with cannot run here, or stopped."""


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the closest of `known`, or the empty string. Long names are not compared."""
    matches = difflib.get_close_matches(name, list(known), n=1) if len(name) <= 64 else []
    return f" (did you mean {matches[0]!r}?)" if matches else ""
