"""Locks: files that one process at a time holds. Its end, however it comes, lets go of them."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime.errors import LockedError

_PAUSE = 0.05  # seconds between two tries


@contextmanager
def locked(path: Path, remedy: str, *, seconds: float = 0.0, keep: bool = False) -> Iterator[None]:
    """Hold the file at `path`, waiting for at most `seconds` until others let go of it.

    Folders above it are made. It names its holder, and is removed at the end unless others have to find it
    again (`keep`). Only its owner may open it, for whoever can read a file can hold it. Raises `LockedError`,
    which ends with `remedy`, and OSError.
    """
    descriptor = _acquire(path, remedy, time.monotonic() + seconds)
    try:
        with suppress(OSError):  # a full disk: the holder stays unnamed
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        if not keep and _is(descriptor, path):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, remedy: str, end: float) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whoever held it before may have removed the file, and its folder, at any moment until now: then the
        # lock is on a file that nobody else will ever find.
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                _lock(descriptor, path, remedy, end)
            except BaseException:
                os.close(descriptor)
                raise
            if _is(descriptor, path):
                return descriptor
            os.close(descriptor)


def _lock(descriptor: int, path: Path, remedy: str, end: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                told = os.pread(descriptor, 16, 0).strip()
                raise LockedError(path, int(told) if told.isdigit() else 0, remedy) from None
            time.sleep(_PAUSE)
        else:
            # A file made under other rights may be open to all who can read it: they could hold it too.
            with suppress(PermissionError):
                os.fchmod(descriptor, 0o600)
            return


def _is(descriptor: int, path: Path) -> bool:
    """Return whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
