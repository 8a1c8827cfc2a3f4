"""A folder of pictures with captions, in one of three ways, looked for in this order:

- `metadata.jsonl`: an object a line with `file_name` and `text` (or `caption`), as Hugging Face's folders;
- `captions.tsv`: file and caption, no heading;
- a `.txt` file beside each picture, in folders as deep as you like.

Splits are by hash.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from aptp.data import tables
from aptp.data.pairs import Lister, Listing
from aptp.data.storage import beside, files, is_picture
from runtime.errors import DataError

METADATA, TABLE = "metadata.jsonl", "captions.tsv"
CAPTIONS = ("text", "caption")


def listing(root: Path, split: str) -> Listing:
    """List the pairs of a split. Raises DataError."""
    there = [str(path) for path in files(root) if is_picture(path)]
    if (root / METADATA).is_file():
        pairs = _objects(root / METADATA)
    elif (root / TABLE).is_file():
        pairs = tables.rows(root / TABLE, "file", "caption")
    else:
        pairs = ((place, _beside(root, place)) for place in there)
    return _those(pairs, set(there)).listing(split)


def _those(pairs: Iterable[tuple[str, str | None]], there: set[str]) -> Lister:
    lister = Lister()
    for place, caption in pairs:
        if place in there:
            lister.add(caption, place)
        else:
            lister.leave_out("without a picture")
    return lister


def _objects(path: Path) -> Iterator[tuple[str, str | None]]:
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, 1):
            try:
                entry = json.loads(line)
                caption = next(entry[name] for name in CAPTIONS if name in entry)
                yield str(entry["file_name"]), caption
            except (ValueError, LookupError, TypeError, StopIteration) as error:
                raise DataError(
                    f"{path}, line {number} is no JSON object with 'file_name' and 'text' (or 'caption')"
                ) from error


def _beside(root: Path, place: str) -> str | None:
    text = beside(root, place, ".txt")
    return None if text is None else text.decode(errors="replace")
