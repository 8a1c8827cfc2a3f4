"""Owns the lock that lets one build at a time work on a bundle; the build's death releases it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.errors import LockedError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds `path` for the length of the block. Raises LockedError, naming the process that has it.

    The winner may remove the file while others wait to open it, so a lock counts only on the file that is
    there now.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(16).strip()
            raise LockedError(path, int(holder) if holder.isdigit() else 0) from None
        if not path.exists() or os.fstat(file.fileno()).st_ino != path.stat().st_ino:
            raise LockedError(path, 0)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
