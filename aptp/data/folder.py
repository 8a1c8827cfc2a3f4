"""A folder of pictures with captions, in folders as deep as you like, as Hugging Face's `imagefolder`.

Captions are in a table in the picture's own folder or one above it, or else in the `.txt` beside it. A table
is one of these, and the names in it are relative to its folder:

- `metadata.csv`, `metadata.jsonl` or `metadata.parquet` with `file_name` and `text` (or `caption`);
- `captions.tsv`: file and caption, no heading.

The splits are those of topmost folders named after them (`train`, `test`), else by hash.
"""

import posixpath
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from aptp.data import tables
from aptp.data.pairs import Lister, Listing
from aptp.data.splits import folder_label, own_splits
from aptp.data.storage import beside, files, is_picture
from runtime.errors import DataError, nearest

FILE = "file_name"
CAPTIONS = ("text", "caption")
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
TABLE = "captions.tsv"


def listing(root: Path, split: str, columns: Sequence[str] = ()) -> Listing:
    """List the pairs of a split. `columns`: those of the captions, of which one is drawn each time. Raises
    DataError.
    """
    found = list(files(root))
    pictures = [path for path in found if is_picture(path)]
    if not pictures and any(path.suffix == ".tar" for path in found):
        raise DataError(f"{root} holds shards (*.tar) and no pictures; read them as webdataset:{root}")
    splits = own_splits(map(folder_label, pictures))
    wanted = split if "test" in splits.values() else "train"
    lister = Lister()
    for place, caption in _pairs(root, _tables(root, found), pictures, columns):
        if place is None:
            lister.leave_out("without a picture")
        elif not splits or splits.get(folder_label(PurePosixPath(place))) == wanted:
            lister.add(caption, place)
        elif folder_label(PurePosixPath(place)) not in splits:
            lister.leave_out("outside the folders of the splits")
    return lister.listing(None if "test" in splits.values() else split)


def _tables(root: Path, found: Sequence[PurePosixPath]) -> dict[PurePosixPath, PurePosixPath]:
    """Return the table of each folder that has one."""
    tables: dict[PurePosixPath, PurePosixPath] = {}
    for path in sorted(found, key=lambda path: path.name == TABLE):
        if path.name in METADATA and path.parent in tables:
            other = tables[path.parent].name
            raise DataError(f"{root / path.parent} has both {other} and {path.name}; remove one of them")
        if path.name in (*METADATA, TABLE):
            tables.setdefault(path.parent, path)
    return tables


def _pairs(
    root: Path,
    tables: Mapping[PurePosixPath, PurePosixPath],
    pictures: Sequence[PurePosixPath],
    columns: Sequence[str],
) -> Iterator[tuple[str | None, Any]]:
    """Yield place and caption, or None for a caption whose picture is not there."""
    names = _Names(pictures)
    for folder, path in tables.items():
        for name, caption in _rows(root / path, columns):
            yield names.find(folder, name), caption
    for picture in pictures:
        if not any(folder in tables for folder in picture.parents):
            yield str(picture), beside(root, str(picture), ".txt")


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, Any]]:
    if path.name == TABLE:
        yield from tables.rows(path, "file", "caption")
        return
    for where, entry in tables.entries(path):
        there = columns or [name for name in CAPTIONS if name in entry][:1]
        for name in (FILE, *there):
            if name not in entry:
                raise DataError(f"{where} has no '{name}'{nearest(name, map(str, entry))}")
        if not there:
            raise DataError(
                f"{where} has neither 'text' nor 'caption'; say which columns have captions: "
                f"folder:{path.parent}?captions=A+B"
            )
        if not isinstance(entry[FILE], str):
            raise DataError(f"{where}: '{FILE}' is {str(entry[FILE])[:64]}, and should be a path")
        yield entry[FILE], _texts([entry[name] for name in there])


def _texts(values: Sequence[Any]) -> list[Any]:
    """Return the captions in columns, each of which has one or a list of them."""
    return [text for value in values for text in (value if isinstance(value, list) else [value])]


class _Names:
    """Places of pictures by the names that tables give them."""

    def __init__(self, pictures: Sequence[PurePosixPath]) -> None:
        self._places = {str(picture) for picture in pictures}
        # File systems and programs differ in how they compose accents.
        self._composed = {_composed(place): place for place in self._places if not place.isascii()}

    def find(self, folder: PurePosixPath, name: str) -> str | None:
        """Return the place of the picture that a table in `folder` calls `name`."""
        for form in (name, name.replace("\\", "/")):
            place = posixpath.normpath(posixpath.join(folder, form))
            if place in self._places:
                return place
            if found := self._composed.get(_composed(place)):
                return found
        return None


def _composed(place: str) -> str:
    return unicodedata.normalize("NFC", place)
