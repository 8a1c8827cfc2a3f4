"""Conceptual Captions: Google's tables with pictures beside them, or img2dataset's shards.

- `Train_GCC-training.tsv` (caption and address, no heading) with `training/`, and for the test split
  `Validation_GCC-1.1.0-Validation.tsv` with `validation/`. Pictures are named after the CRC-32 of their
  address, with the row's number before it (`12_3735928559`) or not, with an ending or not.
- Shards, as `webdataset` reads them, or the same as files, as `folder` does.

The splits are Google's where both tables are there; those of shards and folders, else by hash.
"""

import zlib
from pathlib import Path

from aptp.data import folder, tables, webdataset
from aptp.data.pairs import Lister, Listing
from aptp.data.storage import files

TABLES = {
    "train": ("Train_GCC-training.tsv", "training"),
    "test": ("Validation_GCC-1.1.0-Validation.tsv", "validation"),
}


def listing(root: Path, split: str) -> Listing:
    """List the pairs of a split. Raises DataError."""
    has = {part: (root / table).is_file() for part, (table, _) in TABLES.items()}
    if all(has.values()):
        return _of_table(root, split).listing()
    if has["train"]:
        return _of_table(root, "train").listing(split)
    has_shards = any(path.suffix == ".tar" for path in files(root))
    return webdataset.listing(root, split) if has_shards else folder.listing(root, split)


def _of_table(root: Path, part: str) -> Lister:
    table, pictures = TABLES[part]
    # By stem, of which an address has two: with its row's number, and alone.
    places = {path.stem: str(path) for path in files(root, pictures)}
    lister = Lister()
    for row, (caption, address) in enumerate(tables.rows(root / table, "caption", "address")):
        mark = zlib.crc32(address.encode())
        # What was found is taken out: should two addresses have one mark, the later has no picture.
        place = places.pop(f"{row}_{mark}", None) or places.pop(str(mark), None)
        if place:
            lister.add(caption, place)
        else:
            lister.leave_out("without a picture")
    return lister
