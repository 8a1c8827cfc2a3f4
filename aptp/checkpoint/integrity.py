"""Which bytes belong to a checkpoint: listing, hashing, checking, and publishing a folder whole or not at
all.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from safetensors import SafetensorError

from runtime.errors import CheckpointError, IntegrityError, StorageError, UsageError

_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
MAX_PATH = 255


@dataclass(frozen=True)
class FileEntry:
    size: int
    sha256: str


def check_path(path: str) -> str:
    """``path`` if it is a legal relative path of a checkpoint. Raises CheckpointError."""
    if len(path) > MAX_PATH or not _PATH.fullmatch(path):
        raise CheckpointError(
            f"aptp.json lists the file {path!r:.80}: not a relative path beneath the checkpoint"
        )
    return path


def hash_file(path: Path) -> FileEntry:
    """Size and SHA-256 of a regular file that is not a link. Raises IntegrityError."""
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        return FileEntry(size, hashlib.file_digest(file, "sha256").hexdigest())


@contextmanager
def open_plain(path: Path) -> Iterator[BufferedReader]:
    """A regular file opened for reading: no link is followed, no pipe waited for. Raises IntegrityError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise IntegrityError(f"{path} is missing; restore it or make the checkpoint again") from error
    except OSError as error:
        raise IntegrityError(f"{path} cannot be opened as a plain file: {error.strerror}") from error
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise IntegrityError(f"{path} is not a regular file")
        yield file


def list_files(root: Path, skip: tuple[str, ...] = ()) -> dict[str, FileEntry]:
    """Every file below ``root``, by its path with forward slashes, sorted."""
    names = (path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir())
    return {name: hash_file(root / name) for name in sorted(names) if name not in skip}


def check_files(root: Path, files: Mapping[str, FileEntry]) -> None:
    """Hashes the listed files. Raises IntegrityError for the first that differs or hides behind a link."""
    for name, expected in files.items():
        path = root / name
        for parent in Path(name).parents:
            if parent != Path() and (root / parent).is_symlink():
                raise IntegrityError(f"{root / parent} is a symbolic link; checkpoints hold plain folders")
        found = hash_file(path)
        if found != expected:
            what = "has the wrong size" if found.size != expected.size else "has changed"
            raise IntegrityError(f"{path} {what} since it was published; restore it or make it again")


def check_strangers(root: Path, files: Mapping[str, FileEntry], folder: str) -> None:
    """Raises IntegrityError for any file below ``folder`` that is not listed: a loader might prefer it."""
    for path in sorted((root / folder).rglob("*")):
        name = path.relative_to(root).as_posix()
        if "/" in name and name not in files and (path.is_symlink() or not path.is_dir()):
            raise IntegrityError(f"{path} is not listed in aptp.json; remove it")


def stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file is replaced or written: a file with the same stamp is not hashed again."""
    try:
        status = path.lstat()
    except OSError as error:
        raise IntegrityError(f"{path} is missing or cannot be reached: {error.strerror}") from error
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


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
