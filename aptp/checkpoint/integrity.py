"""Which bytes belong to a checkpoint: listing, hashing, checking, and publishing a folder whole or not at
all.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from aptp.errors import CheckpointError, IntegrityError, StorageError

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
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise IntegrityError(f"{path}: cannot be opened as a plain file: {error.strerror}") from error
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise IntegrityError(f"{path} is not a regular file")
        return FileEntry(status.st_size, hashlib.file_digest(file, "sha256").hexdigest())


def list_files(root: Path, skip: tuple[str, ...] = ()) -> dict[str, FileEntry]:
    """Every file below ``root``, by its path with forward slashes, sorted."""
    names = (path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir())
    return {name: hash_file(root / name) for name in sorted(names) if name not in skip}


def check_files(root: Path, files: Mapping[str, FileEntry], prefix: str = "") -> None:
    """Hashes the listed files whose path starts with ``prefix``. Raises IntegrityError, naming the first
    that differs.
    """
    for name, expected in files.items():
        if name.startswith(prefix):
            for parent in (root / name).relative_to(root).parents:
                if (root / parent).is_symlink() and parent != Path():
                    raise IntegrityError(
                        f"{root / parent} is a symbolic link; checkpoints hold plain folders"
                    )
            found = hash_file(root / name)
            if found != expected:
                what = "has the wrong size" if found.size != expected.size else "has changed"
                raise IntegrityError(
                    f"{root / name} {what} since it was published; restore it or make it again"
                )


@contextmanager
def published(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out`` that becomes ``out`` when the block ends well, and vanishes when it
    does not.

    Raises StorageError if ``out`` already holds something, or the disk cannot take it.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StorageError(f"{out} already exists and is not empty; choose another folder or remove it")
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.absolute().parent))
    except OSError as error:
        raise StorageError(f"cannot write beside {out}: {error.strerror}") from error
    try:
        yield draft
        draft.chmod(0o755)
        sync_tree(draft)
        draft.rename(out)
        _sync(out.absolute().parent)
    except (OSError, SafetensorError) as error:
        if _disk_is_full(error):
            raise StorageError(
                f"{out}: no room left on the disk; free some and run the command again"
            ) from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


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
