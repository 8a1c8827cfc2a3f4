"""The folder of a run, in which one training at a time is at work."""

from contextlib import ExitStack
from pathlib import Path

from aptp.trainer import distributed
from runtime.errors import StorageError, unusable
from runtime.files.lock import locked

LOCK = "training.lock"


def hold(folder: Path) -> ExitStack:
    """Make `folder` where there is none, and keep other trainings out of it until the result is closed.

    The first process of a run does so for all of them. Raises LockedError where another training is at work,
    StorageError where the folder cannot be used.
    """
    held = ExitStack()
    if not distributed.leads():
        return held
    try:
        held.enter_context(
            locked(folder / LOCK, "wait for that training to end, or give this one another --run")
        )
    except OSError as error:
        raise StorageError(unusable(error)) from error
    return held
