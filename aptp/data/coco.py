"""COCO captions as published: `annotations/captions_{train,val}{2014,2017}.json` and the folders of pictures
named after them, here or in `images/`. Every caption of a picture is a pair.

The training split is COCO's own, and so is the test split: its `val`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aptp.data.pairs import Lister, Listing
from aptp.data.reading import text
from aptp.data.storage import files
from runtime.errors import DataError, UsageError, nearest
from runtime.files.source import read_source

YEARS = ("2014", "2017")
MOST_BYTES = 4 << 30
PARTS = {"train": "train", "test": "val"}


def listing(root: Path, split: str, year: str | None = None) -> Listing:
    """List the pairs of a split. Raises DataError, and UsageError where `year` has to be said."""
    part = f"{PARTS[split]}{year or _only_year(root, PARTS[split])}"
    path = root / "annotations" / f"captions_{part}.json"
    body = _json(path)
    folder = part if (root / part).is_dir() else f"images/{part}"
    there = {str(found) for found in files(root, folder)}
    names = {_key(path, image, "id"): _field(path, image, "file_name") for image in body["images"]}
    lister = Lister()
    for annotation in body["annotations"]:
        place = f"{folder}/{names.get(_key(path, annotation, 'image_id'))}"
        if place in there:
            lister.add(_field(path, annotation, "caption"), place)
        else:
            lister.leave_out("without a picture")
    return lister.listing()


def _only_year(root: Path, part: str) -> str:
    found = [year for year in YEARS if (root / "annotations" / f"captions_{part}{year}.json").is_file()]
    if not found:
        raise DataError(
            f"{root} is no COCO folder: it has neither annotations/captions_{part}2014.json nor "
            f"annotations/captions_{part}2017.json"
        )
    if len(found) > 1:
        raise UsageError(f"{root} has the captions of 2014 and 2017; choose: coco:{root}?year=2017")
    return found[0]


def _json(path: Path) -> Mapping[str, Any]:
    try:
        body = json.loads(text(read_source(path, MOST_BYTES), str(path)))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}); fetch it again") from error
    for name in ("images", "annotations"):
        if not isinstance(body, dict) or not isinstance(body.get(name), list):
            raise DataError(f"{path} has no list '{name}'; COCO's captions files have one")
    return body  # type: ignore[no-any-return]


def _field(path: Path, entry: Any, name: str) -> Any:
    try:
        return entry[name]
    except (LookupError, TypeError) as error:
        known = entry if isinstance(entry, dict) else ()
        raise DataError(f"{path}: an entry has no '{name}'{nearest(name, known)}") from error


def _key(path: Path, entry: Any, name: str) -> int | str:
    found = _field(path, entry, name)
    if not isinstance(found, int | str):
        raise DataError(f"{path}: an entry's '{name}' is {str(found)[:64]}, and should be a number")
    return found
