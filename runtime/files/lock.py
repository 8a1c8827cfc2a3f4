"""Locks: files that one process at a time holds. Its end, however it comes, lets go of them."""

import errno
import fcntl
import os
import re
import stat
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime.errors import LockedError

_PAUSE = 0.05  # seconds between two tries
_QUIET = 5.0  # seconds that a process waits without a word
# O_NONBLOCK: opening a FIFO returns at once, and is then refused as no regular file.
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LOCKS = Path("/proc/locks")


@contextmanager
def locked(
    path: Path, remedy: str, *, seconds: float = 0.0, keep: bool = False, mode: int = 0o600
) -> Iterator[None]:
    """Hold the file at `path`, waiting for at most `seconds` until others let go of it.

    Folders above it are made. It names its holder, and is removed at the end unless others have to find it
    again (`keep`). Only its owner may open it unless `mode` says otherwise, for whoever can read a file can
    hold it. A long wait is a warning. Raises `LockedError`, which ends with `remedy`, and OSError.
    """
    descriptor = _acquire(path, remedy, seconds, mode)
    try:
        with suppress(OSError):  # a full disk: the holder stays unnamed
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        if not keep and _is(descriptor, path):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, remedy: str, seconds: float, mode: int) -> int:
    start = time.monotonic()
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whoever held it before may have removed the file, and its folder, at any moment until now: then the
        # lock is on a file that nobody else will ever find.
        with suppress(FileNotFoundError):
            descriptor = os.open(path, _OPEN, mode)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OSError(errno.EINVAL, "it is not a regular file", str(path))
                _lock(descriptor, path, remedy, start, seconds)
                with suppress(PermissionError):  # another user's, which its rights let us hold
                    os.fchmod(descriptor, mode)  # whatever an older version or the umask made of it
            except BaseException:
                os.close(descriptor)
                raise
            if _is(descriptor, path):
                return descriptor
            os.close(descriptor)


def _lock(descriptor: int, path: Path, remedy: str, start: float, seconds: float) -> None:
    is_told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - start
            if waited >= seconds:
                raise LockedError(path, _holder(descriptor), remedy, waited) from None
            if waited >= _QUIET and not is_told:
                is_told = True
                holder = _holder(descriptor) or "unknown"
                warnings.warn(
                    f"{path}: waiting for pid {holder}, which holds it, at most {seconds:.0f} s", stacklevel=5
                )
            time.sleep(_PAUSE)
        else:
            return


def _holder(descriptor: int) -> int:
    """Return the process that holds the file, 0 where unknown: as the system says, else as the file does."""
    found = os.fstat(descriptor)
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with suppress(OSError):
        held = re.search(rf"FLOCK +\S+ +\S+ +(\d+) {file} ", _LOCKS.read_text("ascii", "replace"))
        if held and int(held[1]):  # 0: a process outside this container
            return int(held[1])
    told = os.pread(descriptor, 16, 0).strip()
    return int(told) if told.isdigit() else 0


def _is(descriptor: int, path: Path) -> bool:
    """Return whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
