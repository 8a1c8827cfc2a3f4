"""Tar shards in the webdataset convention: members that share a name up to its ending are one sample.

Reads uncompressed shards, whose pictures can be read one by one where they lie; refuses compressed ones.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath

from aptp.data import shard_index
from aptp.data.storage import ENDINGS, member
from runtime.errors import DataError


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

    Raises DataError for what is no tar file, or only the beginning of one.
    """
    known = shard_index.recall(root / shard, ending)
    if known is not None:
        # Places are relative to the folder, which may be another one this time.
        return [Member(key, f"{shard}{place}", text) for key, place, text in known]
    try:
        with tarfile.open(root / shard, "r:") as archive:
            found = [sample for sample in _samples(archive, ending) if sample.place]
            _check_end(archive)
    except (tarfile.TarError, OSError) as error:
        raise DataError(
            f"{root / shard} is no whole, uncompressed tar file ({error}); fetch it again or remove it"
        ) from error
    shard_index.keep(root / shard, ending, [astuple(sample) for sample in found])
    return [Member(sample.key, f"{shard}{sample.place}", sample.text) for sample in found]


def _samples(archive: tarfile.TarFile, wanted: str) -> Iterator[Member]:
    """Yield samples, with places as they are in a shard without a name."""
    sample = Member("")
    for info in archive:
        if not info.isreg():
            continue
        stem, _, ending = PurePosixPath(info.name).name.partition(".")
        key = str(PurePosixPath(info.name).with_name(stem))
        if key != sample.key:
            yield sample
            sample = Member(key)
        if f".{ending.lower()}" in ENDINGS:
            sample.place = member("", info.offset_data, info.size, info.name)
        elif ending == wanted:
            file = archive.extractfile(info)
            sample.text = file.read().decode(errors="replace") if file else None
    yield sample


def _check_end(archive: tarfile.TarFile) -> None:
    """tarfile takes a header that is damaged or cut short for the end; a real end is a block of zeros."""
    assert archive.fileobj
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no header and no end at byte {archive.offset}")
