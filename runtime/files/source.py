"""A user's own files, whose digests nobody has listed: a pipeline's folder, a model, captioned pictures.

Links are followed, for download caches and data sets are made of them. Only regular files are taken, so that
no pipe is waited for; what is read into memory is capped; digests are what a run records of them. Failures
are OSErrors, for the caller knows what the file was to be. Bundles, checkpoints and caches have digests, and
another door: `verified`.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from runtime.files.verified import FileEntry


@contextmanager
def open_source(path: Path) -> Iterator[BufferedReader]:
    """Open the regular file at `path` for reading. Raises OSError."""
    # O_NONBLOCK: opening a FIFO returns at once, and is then refused as no regular file.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    with open(descriptor, "rb") as file:
        yield file


def read_source(path: Path, most: int) -> bytes:
    """Read the bytes of the file at `path`, of at most `most`. Raises OSError."""
    with open_source(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes", str(path))
    return data


def digest_source(path: Path) -> FileEntry:
    """Size and SHA-256 of the file at `path`. Raises OSError."""
    with open_source(path) as file:
        return FileEntry(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


def digest_folder(root: Path) -> dict[str, FileEntry]:
    """Size and SHA-256 of every file below `root`, by its path, sorted. Raises OSError."""
    return {name: digest_source(root / name) for name in sorted(_names(root, "", ()))}


def _names(root: Path, below: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    status = (root / below).stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        raise OSError(errno.ELOOP, "its links lead back to it", str(root / below))
    with os.scandir(root / below) as entries:
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir():
                yield from _names(root, name, (*above, here))
            else:
                yield name
