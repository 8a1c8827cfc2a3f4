"""Publishing a checkpoint's folder, whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from runtime.errors import StorageError, UsageError


def check_target(out: Path) -> None:
    """Raises UsageError if ``out`` already holds something, StorageError if it cannot be looked at."""
    try:
        occupied = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise StorageError(f"{str(out)[:120]}: cannot be used as a folder: {error.strerror}") from error
    if occupied:
        raise UsageError(f"{out} already exists and is not empty; choose another folder or remove it")


@contextmanager
def published(out: Path) -> Iterator[Path]:
    """A draft folder beside ``out`` that becomes ``out`` when the block ends well, and vanishes when it
    does not.

    A draft left behind by a killed process is taken over. Raises UsageError if ``out`` already holds
    something, StorageError if the disk cannot take it or another process is writing it.
    """
    check_target(out)
    draft = out.absolute().with_name(f".{out.name}.draft")
    try:
        draft.mkdir(parents=True, exist_ok=True)
        with _locked(draft, out):
            try:
                _clear(draft)
                yield draft
                sync_tree(draft)
                draft.rename(out)
                _sync(out.absolute().parent)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        what = "no room left on the disk; free some" if _disk_is_full(error) else str(error)
        raise StorageError(f"{out} cannot be written: {what}, and run the command again") from error


@contextmanager
def _locked(folder: Path, out: Path) -> Iterator[None]:
    """Holds a lock on the folder itself, which ends with the process however it ends."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(f"{out} is being written by another process; wait for it to end") from error
        yield
    finally:
        os.close(descriptor)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _disk_is_full(error: OSError | SafetensorError) -> bool:
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(error, OSError):
        return error.errno in full
    return any(f"(os error {number})" in str(error) for number in full)  # safetensors keeps no errno


def sync_tree(root: Path) -> None:
    """Forces every file and folder below ``root`` to the disk, so that the rename that follows never
    precedes them.
    """
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            _sync(Path(folder) / name)
        _sync(Path(folder))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
