"""The places of pictures: files below a folder, or members of uncompressed tar shards below it.

A *place* is a string that names one picture: a path relative to the folder, or for a member the shard's path,
where its bytes start, how many they are and its name. Refuses links out of the folder no more than the system
does: data sets are often made of them.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from aptp.data.picture import BrokenPicture
from aptp.data.reading import reading, text
from runtime.errors import DataError
from runtime.files.source import open_source, read_source

# What systems and archivers put beside pictures, besides all that is hidden: of macOS, of tar, of Synology.
CLUTTER = ("__MACOSX", "PaxHeader", "@eaDir")
ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
APART = "\t"
MOST_PICTURE, MOST_BESIDE = 1 << 30, 16 << 20  # bytes


def member(shard: str, start: int, size: int, name: str) -> str:
    """Return the place of a shard's member."""
    return APART.join((shard, str(start), str(size), name))


def shown(place: str) -> str:
    """Return a place as people are told of it; bytes of a name that are no text are escaped."""
    shard, *rest = place.split(APART)
    name = f"{shard}/{rest[-1]}" if rest else shard
    return name.encode(errors="backslashreplace").decode()


def is_hidden(path: PurePosixPath) -> bool:
    """Return whether a file or a shard's member, or a folder it is in, is hidden or another program's."""
    return not path.parts or any(map(_is_hidden, path.parts))


def _is_hidden(name: str) -> bool:
    return name.startswith((".", *CLUTTER))


def read(root: Path, place: str) -> bytes:
    """Read a picture's bytes. Raises BrokenPicture where they are gone or cut short, DataError where the disk
    does not answer.
    """
    name, *rest = place.split(APART)
    start, size = (int(rest[0]), int(rest[1])) if rest else (0, -1)
    if size > MOST_PICTURE:
        raise BrokenPicture(f"it has more than {MOST_PICTURE:,} bytes")
    try:
        with open_source(root / name) as file:
            file.seek(start)
            data = file.read(size if rest else MOST_PICTURE)
    except FileNotFoundError as error:
        raise BrokenPicture("it is gone") from error
    except OSError as error:
        raise DataError(f"{root / name} cannot be read: {error.strerror}") from error
    if len(data) < size:
        raise BrokenPicture("its shard ends before it does")
    return data


def beside(root: Path, place: str, ending: str) -> str | None:
    """Read the text in the file of another ending beside a picture; None where there is none. Raises
    DataError.
    """
    path = (root / place).with_suffix(ending)
    if not path.exists():
        return None
    with reading(path, "text file"):
        return text(read_source(path, MOST_BESIDE), str(path))


def files(root: Path, below: str = "") -> Iterator[PurePosixPath]:
    """Yield all files below a folder of `root`, relative to `root`, in an order that no file system changes,
    but for those that `is_hidden` passes over. Raises DataError where there is no such folder, and for links
    that lead back to a folder they are in.
    """
    yield from _files(root, below, ())


def _files(root: Path, below: str, above: tuple[tuple[int, int], ...]) -> Iterator[PurePosixPath]:
    try:
        status = (root / below).stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            raise OSError(errno.ELOOP, "its links lead back to it")
        with os.scandir(root / below) as found:
            entries = sorted((e.name, e.is_dir()) for e in found if not _is_hidden(e.name))
    except OSError as error:
        raise DataError(f"{root / below} cannot be listed: {error.strerror}") from error
    for name, is_folder in entries:
        path = PurePosixPath(below, name)
        if is_folder:
            yield from _files(root, str(path), (*above, here))
        else:
            yield path


def is_picture(path: PurePosixPath) -> bool:
    return path.suffix.lower() in ENDINGS
