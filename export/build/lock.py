"""Owns the lock that lets one build at a time work on a bundle; the build's death releases it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path

from export.build.publish import disk_space
from runtime.errors import LockedError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds `path` for the length of the block, then removes it, and its folder if that is empty.

    Raises LockedError, naming the process that has it, and DiskFullError.
    """
    with _acquire(path) as file:
        try:
            with disk_space(path, 4096):
                file.truncate(0)
                file.write(str(os.getpid()))
                file.flush()
            yield
        finally:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # its folder stays where a build has left something to resume from
                path.parent.rmdir()


def _acquire(path: Path) -> TextIOWrapper:
    """`path`, open and locked."""
    while True:
        with disk_space(path, 4096):
            path.parent.mkdir(parents=True, exist_ok=True)
        # The holder before us may have removed the file, and its folder, at any moment until now: then the
        # lock is on a file that nobody else will ever find.
        with suppress(FileNotFoundError):
            file = path.open("a+", encoding="ascii")
            try:
                _lock(file, path)
                if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                    return file
            except BaseException:
                file.close()
                raise
            file.close()


def _lock(file: TextIOWrapper, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read(16).strip()
        raise LockedError(path, int(holder) if holder.isdigit() else 0) from None
