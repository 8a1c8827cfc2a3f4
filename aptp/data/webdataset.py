"""Tar shards of captioned pictures, as img2dataset writes and webdataset reads them.

A picture's caption is the member of its name that ends in `.txt`; or else, or where columns are named, fields
of the one that ends in `.json`. The splits are those that shards or their folders are named after
(`cc3m-train-0000.tar`, `train/00000.tar`), else by hash.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from aptp.data.pairs import Lister, Listing
from aptp.data.reading import json_object
from aptp.data.shards import Member, members
from aptp.data.splits import own_splits, shard_label
from aptp.data.storage import files
from runtime.errors import DataError, nearest

CAPTIONS = ("caption", "text")
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def listing(root: Path, split: str, columns: Sequence[str] = ()) -> Listing:
    """List the pairs of a split. `columns`: fields of captions, of which one is drawn each time. Raises
    DataError.
    """
    found = list(files(root))
    shards = [path for path in found if path.suffix == ".tar"]
    if not shards:
        packed = next((path for path in found if path.name.endswith(COMPRESSED)), None)
        told = f"{packed} is compressed: unpack it to a .tar" if packed else f"read files as folder:{root}"
        raise DataError(f"{root} holds no shards (*.tar); {told}")
    splits = own_splits(map(shard_label, shards))
    wanted = split if "test" in splits.values() else "train"
    lister = Lister()
    for shard in shards:
        label = shard_label(shard)
        if splits and splits.get(label) != wanted:
            if label not in splits:
                lister.leave_out("shards outside the splits")
            continue
        for sample, caption in _captioned(root, shard, columns):
            lister.add(caption, sample.place)
    return lister.listing(None if "test" in splits.values() else split)


def _captioned(root: Path, shard: PurePosixPath, columns: Sequence[str]) -> Iterator[tuple[Member, Any]]:
    beside = [] if columns else members(root, shard, "txt")
    if any(sample.text is not None for sample in beside):
        yield from ((sample, sample.text) for sample in beside)
        return
    for sample in members(root, shard, "json"):
        where = f"{root / shard}/{sample.key}.json"
        yield sample, None if sample.text is None else _fields(sample.text, where, columns)


def _fields(text: str, where: str, columns: Sequence[str]) -> list[Any]:
    body = json_object(text, where)
    for name in columns:
        if name not in body:
            raise DataError(f"{where} has no '{name}'{nearest(name, body)}")
    return [body[name] for name in columns or [each for each in CAPTIONS if each in body][:1]]
