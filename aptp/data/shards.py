"""Tar shards in the webdataset convention: members that share a name up to its ending are one sample.

Reads uncompressed shards, whose pictures can be read one by one where they lie; refuses compressed ones. A
size that a header declares is checked before as much is read.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath

from aptp.data import shard_index
from aptp.data.reading import reading, text
from aptp.data.storage import ENDINGS, MOST_BESIDE, is_hidden, member
from runtime.errors import DataError
from runtime.files.source import open_source


@dataclass(slots=True)
class Member:
    """One sample of a shard: `key` is its name without ending, `place` its picture's, `text` what its
    member with the ending that was asked for holds, if there is one.
    """

    key: str
    place: str = ""
    text: str | None = None


def members(root: Path, shard: PurePosixPath, ending: str) -> list[Member]:
    """Return a shard's samples that have a picture, each with its text in the member of this `ending`.

    Raises DataError for what is no tar file, or only the beginning of one, and for what is no text.
    """
    known = shard_index.recall(root / shard, ending)
    if known is not None:
        # Places are relative to the folder, which may be another one this time.
        return [Member(key, f"{shard}{place}", text) for key, place, text in known]
    path = root / shard
    with (
        reading(path, "whole, uncompressed tar file"),
        open_source(path) as file,
        # It has what reading takes, which is less than a file has.
        tarfile.open(fileobj=_Frugal(file), mode="r:") as archive,  # type: ignore[call-overload]
    ):
        found = [sample for sample in _samples(archive, ending, path) if sample.place]
        _check_end(archive)
    shard_index.keep(root / shard, ending, [astuple(sample) for sample in found])
    return [Member(sample.key, f"{shard}{sample.place}", sample.text) for sample in found]


def _samples(archive: tarfile.TarFile, wanted: str, shard: Path) -> Iterator[Member]:
    """Yield samples, with places as they are in a shard without a name."""
    sample = Member("")
    for info in archive:
        path = PurePosixPath(info.name)
        if not info.isreg() or is_hidden(path):
            continue
        if info.issparse():
            raise DataError(f"{shard}: its member {info.name} is sparse; pack it again without --sparse")
        stem, _, ending = path.name.partition(".")
        key = str(path.with_name(stem))
        if key != sample.key:
            yield sample
            sample = Member(key)
        if f".{ending.lower()}" in ENDINGS:
            sample.place = member("", info.offset_data, info.size, info.name)
        elif ending == wanted:
            sample.text = _text(archive, info, shard)
    yield sample


def _text(archive: tarfile.TarFile, info: tarfile.TarInfo, shard: Path) -> str | None:
    name = f"{shard}/{info.name}"
    if info.size > MOST_BESIDE:
        raise DataError(f"{name} has {info.size:,} bytes, and a caption at most {MOST_BESIDE:,}; remove it")
    file = archive.extractfile(info)
    return text(file.read(), name) if file else None


class _Frugal:
    """A file that tarfile reads; a header may declare any size, and tarfile would read as much at once."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > MOST_BESIDE:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


def _check_end(archive: tarfile.TarFile) -> None:
    """tarfile takes a header that is damaged or cut short for the end; a real end is a block of zeros."""
    assert archive.fileobj
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no header and no end at byte {archive.offset}")
