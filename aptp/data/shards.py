"""Tar shards in the webdataset convention: members that share a name up to its ending are one sample.

Reads uncompressed shards, whose pictures can be read one by one where they lie; refuses compressed ones.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from aptp.data.storage import ENDINGS, member
from aptp.errors import DataError


@dataclass
class Member:
    """One sample of a shard: ``key`` is its name without ending, ``place`` its picture's, ``texts`` what else
    it holds, by ending (``txt``, ``json``).
    """

    key: str
    place: str = ""
    texts: dict[str, bytes] = field(default_factory=dict)


def members(root: Path, shard: PurePosixPath, texts: frozenset[str]) -> Iterator[Member]:
    """A shard's samples that have a picture, with those of their ``texts`` that are there.

    Raises DataError for what is no tar file, or only the beginning of one.
    """
    sample = Member("")
    try:
        with tarfile.open(root / shard, "r:") as archive:
            for info in archive:
                if not info.isreg():
                    continue
                stem, _, ending = PurePosixPath(info.name).name.partition(".")
                key = str(PurePosixPath(info.name).with_name(stem))
                if key != sample.key:
                    if sample.place:
                        yield sample
                    sample = Member(key)
                if f".{ending.lower()}" in ENDINGS:
                    sample.place = member(str(shard), info.offset_data, info.size, info.name)
                elif ending in texts:
                    file = archive.extractfile(info)
                    sample.texts[ending] = file.read() if file else b""
            _check_end(archive)
    except (tarfile.TarError, OSError) as error:
        raise DataError(
            f"{root / shard} is no whole, uncompressed tar file ({error}); fetch it again or remove it"
        ) from error
    if sample.place:
        yield sample


def _check_end(archive: tarfile.TarFile) -> None:
    """tarfile takes a header that is damaged or cut short for the end; a real end is a block of zeros."""
    assert archive.fileobj
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no header and no end at byte {archive.offset}")
