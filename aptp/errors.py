"""The errors this package raises to its users.

    AptpError                     exit 1
    ├── UsageError                exit 2   an argument is wrong (also a ValueError)
    │   ├── SpaceError                     a UNet cannot be pruned this way, or a code does not fit its space
    │   ├── BudgetError                    no architecture of the space has the cost asked for
    │   └── TableError                     a profile that cannot be read, or is of another UNet or size
    ├── TrainingError             exit 1   a run cannot go on: its loss is no longer a number
    ├── StorageError              exit 1   the disk is full or cannot be written
    └── Refused                   exit 3
        ├── CheckpointError                the folder is not a checkpoint, or its parts do not fit together
        ├── DataError                      captioned images not laid out as they should be, or none is left
        └── IntegrityError                 a file is not the one the checkpoint was published with

Every message says what is wrong, where, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class AptpError(Exception):
    exit_code = 1


class UsageError(AptpError, ValueError):
    exit_code = 2


class SpaceError(UsageError):
    pass


class BudgetError(UsageError):
    pass


class TableError(UsageError):
    pass


class TrainingError(AptpError):
    pass


class StorageError(AptpError):
    pass


class Refused(AptpError):
    exit_code = 3


class CheckpointError(Refused):
    pass


class DataError(Refused):
    pass


class IntegrityError(Refused):
    pass


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the known word closest to ``word``, or nothing."""
    found = get_close_matches(word, list(known), n=1)
    return f"; did you mean '{found[0]}'?" if found else ""
