"""Owns how folders come into being: whole or not at all.

A folder is written under a hidden name beside its place, every file and folder is synced to disk, and then it
is renamed; where something stands already, the two are exchanged in one step. Refuses nothing but a full
disk.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime.errors import DiskFullError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CHUNK = 1 << 22


@contextmanager
def publishing(target: Path, needed: int) -> Iterator[Path]:
    """A fresh folder to fill, which becomes `target` when the block ends well, and vanishes when it does not.

    `needed` is the size in bytes that a DiskFullError will name.
    """
    temporary = _temporary(target)
    with disk_space(target, needed):
        try:
            discard(temporary)
            temporary.mkdir(parents=True)
            yield temporary
            sync_tree(temporary)
            _put(temporary, target)
        finally:
            # After an exchange this is the folder that stood there before.
            discard(temporary)


def recover(target: Path) -> None:
    """Clears what a killed publication of `target` left behind, and completes or undoes it."""
    if _old(target).exists() and not target.exists():
        _old(target).rename(target)
    for leftover in (_temporary(target), _old(target)):
        discard(leftover)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.tmp")


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


@contextmanager
def disk_space(path: Path, needed: int) -> Iterator[None]:
    """Turns a full disk into the typed error that says where and how much."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFullError(path, needed) from error


def discard(folder: Path) -> None:
    """Removes a folder or file if it is there."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def sync_tree(folder: Path) -> None:
    """Makes every file and folder below `folder` durable, deepest first."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync(Path(parent, name))
        _sync(Path(parent))


def place(source: Path, target: Path) -> None:
    """Puts a finished file into another folder: a second name for it where the file system allows, else a
    copy.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file below `folder`: its path in it → size in bytes and SHA-256."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": digest(path)}
        for path in files
    }


def matches(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether every listed file lies below `folder` and is the listed one."""
    for name, entry in files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file() or path.stat().st_size != entry["size"]:
            return False
        if digest(path) != entry["sha256"]:
            return False
    return True


def _put(temporary: Path, target: Path) -> None:
    if target.exists() and not _exchange(temporary, target):
        # Without an exchange there is a moment with no bundle, but never one with half a bundle.
        old = _old(target)
        discard(old)
        target.rename(old)
        temporary.rename(target)
        discard(old)
    elif not target.exists():
        temporary.rename(target)
    _sync(target.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two paths in one step; False where the system or file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
