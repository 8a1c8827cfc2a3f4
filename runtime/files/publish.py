"""Files and folders that are there whole, or not at all.

Both are written under a hidden name beside their place, synced to the disk, and renamed. No link is followed:
one at the place is replaced, one at the hidden name is removed. What belongs to another user is not
replaced, and what is mounted cannot be: `check_place` says so before any work is done. Failures are OSErrors,
for the caller knows what to do about them; `disk_space` makes a typed error of a full disk.
"""

import ctypes
import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from runtime.errors import DiskFullError
from runtime.files.mounts import is_mount

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LETTERS = 64  # of a file's name in that of its scratch file, which must not become too long
_numbers = count()


@contextmanager
def replacing(path: Path, *, stem: str = "") -> Iterator[BinaryIO]:
    """Yield a file to write, which becomes the one at `path` when the block ends well, and vanishes
    otherwise.

    What killed processes left of the same file is removed first; of all files with one `stem`, where one is
    given.
    """
    check_place(path)
    stem = stem or f".{path.name[:_LETTERS]}"
    _sweep(path.parent, stem)
    scratch = path.with_name(f"{stem}.{os.getpid()}-{next(_numbers)}.tmp")
    with suppress(FileNotFoundError):
        scratch.unlink()
    try:
        with open(os.open(scratch, _NEW, 0o666), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        _sync(path.parent)
    finally:
        with suppress(OSError):  # whatever kept it from being written keeps it from being there
            scratch.unlink()


def write_file(path: Path, data: bytes | str) -> None:
    """Put `data`, text as UTF-8, at `path`. Raises OSError."""
    with replacing(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def _sweep(folder: Path, stem: str) -> None:
    """Remove what killed processes left of the files with a stem."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if found := re.fullmatch(re.escape(stem) + r"\.(\d{1,9})-\d+\.tmp", entry.name):
                try:
                    os.kill(int(found[1]), 0)
                except ProcessLookupError:
                    os.unlink(entry.path)
                except OSError:  # it lives, and is another user's
                    continue


@contextmanager
def publishing(target: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield a fresh folder to fill, which becomes `target` when the block ends well, and vanishes when it
    does not.

    A folder that is there already is exchanged for it in one step; without `replace` it is an OSError. One
    process at a time may publish a target: whoever calls this holds a lock.
    """
    check_place(target)
    temporary = _temporary(target)
    check_place(temporary)
    try:
        discard(temporary)
        temporary.mkdir(parents=True)
        yield temporary
        sync_tree(temporary)
        if replace:
            _exchange_or_move(temporary, target)
        else:
            temporary.rename(target)
        _sync(target.parent)
    finally:
        # After an exchange this is the folder that was there before.
        discard(temporary)


def recover(target: Path) -> None:
    """Clear what a killed publication of `target` left behind, and complete or undo it."""
    if _old(target).exists() and not target.exists():
        _old(target).rename(target)
    for leftover in (_temporary(target), _old(target)):
        discard(leftover)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.tmp")


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def check_place(path: Path) -> None:
    """Refuse what no rename may replace: another user's, and a mount. Raises OSError."""
    try:
        owner = path.lstat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return
    if is_mount(path):
        raise OSError(errno.EBUSY, "is a mount, which cannot be replaced; name a place inside it", str(path))
    if owner != os.geteuid():
        raise PermissionError(
            errno.EPERM, f"belongs to another user (number {owner}); name another place", str(path)
        )


@contextmanager
def disk_space(path: Path, needed: int) -> Iterator[None]:
    """Turn a full disk into a `DiskFullError` that says where, and that `needed` bytes are."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DiskFullError(path, needed) from error


def discard(folder: Path) -> None:
    """Remove a folder or file if it is there; of a link, the link."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def sync_tree(folder: Path) -> None:
    """Make every file and folder below `folder` durable, deepest first."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync(Path(parent, name))
        _sync(Path(parent))


def place(source: Path, target: Path) -> None:
    """Put a finished file into a draft: a second name for it where the file system allows, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _exchange_or_move(temporary: Path, target: Path) -> None:
    if os.path.lexists(target) and not _exchange(temporary, target):
        # Without an exchange there is a moment with no folder, but never one with half a folder.
        old = _old(target)
        discard(old)
        target.rename(old)
        temporary.rename(target)
        discard(old)
    elif not os.path.lexists(target):
        temporary.rename(target)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two paths in one step; False where the system or file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
