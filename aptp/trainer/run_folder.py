"""The folder of a run, in which one training at a time is at work."""

from contextlib import ExitStack
from pathlib import Path

from runtime.errors import StorageError, unusable
from runtime.files.lock import locked

LOCK = "training.lock"


def hold(folder: Path) -> ExitStack:
    """Make `folder` where there is none, and keep other trainings out of it until the result is closed.

    Raises LockedError where another one is at work, StorageError where the folder cannot be used.
    """
    held = ExitStack()
    try:
        held.enter_context(
            locked(folder / LOCK, "wait for that training to end, or give this one another --run")
        )
    except OSError as error:
        raise StorageError(unusable(error)) from error
    return held
