"""The places of pictures: files below a folder, or members of uncompressed tar shards below it.

A *place* is a string that names one picture: a path relative to the folder, or for a member the shard's path,
where its bytes start, how many they are and its name. Refuses links out of the folder no more than the system
does: data sets are often made of them.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from aptp.data.picture import BrokenPicture
from runtime.errors import DataError
from runtime.files.source import open_source, read_source

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
APART = "\t"
MOST_PICTURE, MOST_BESIDE = 1 << 30, 16 << 20  # bytes


def member(shard: str, start: int, size: int, name: str) -> str:
    """Return the place of a shard's member."""
    return APART.join((shard, str(start), str(size), name))


def shown(place: str) -> str:
    """Return a place as people are told of it."""
    shard, *rest = place.split(APART)
    return f"{shard}/{rest[-1]}" if rest else shard


def read(root: Path, place: str) -> bytes:
    """Read a picture's bytes. Raises BrokenPicture where they are gone or cut short, DataError where the disk
    does not answer.
    """
    name, *rest = place.split(APART)
    start, size = (int(rest[0]), int(rest[1])) if rest else (0, -1)
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


def beside(root: Path, place: str, ending: str) -> bytes | None:
    """Read the file of another ending beside a picture; None where there is none. Raises DataError as `read`
    does.
    """
    path = (root / place).with_suffix(ending)
    try:
        return read_source(path, MOST_BESIDE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def files(root: Path, below: str = "") -> Iterator[PurePosixPath]:
    """Yield all files below a folder of `root`, relative to `root`, in an order that no file system changes.

    Raises DataError where there is no such folder. Hidden files and folders are passed over.
    """
    try:
        with os.scandir(root / below) as found:
            entries = sorted((e for e in found if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        raise DataError(f"{root / below} cannot be listed: {error.strerror}") from error
    for entry in entries:
        path = PurePosixPath(below, entry.name)
        if entry.is_dir():
            yield from files(root, str(path))
        else:
            yield path


def is_picture(path: PurePosixPath) -> bool:
    return path.suffix.lower() in ENDINGS
