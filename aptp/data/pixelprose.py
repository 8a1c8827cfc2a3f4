"""PixelProse: its parquet files, which hold captions and scores, and the pictures that img2dataset fetched.

The captions are `vlm_caption`, without the words that nearly all begin with, unless others are asked for:
`captions=vlm_caption+original_caption` draws one of both each time. Pictures are files or members
of tar shards anywhere below the folder. One belongs to a row by the `uid` in the `.json` beside it, or else
by the `url` there; without a `.json` by its own name, which is the row's `uid` or `key`. A `.json` counts
first, for img2dataset numbers what it fetches anew, and such a number is another row's `key`.

Conditions on any column choose rows; a row whose column is empty fulfils none. Splits are by hash of `uid`.
Needs pyarrow.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aptp.data import parquet
from aptp.data.captions import without_prefix
from aptp.data.conditions import Condition, parse
from aptp.data.pairs import Lister, Listing
from aptp.data.reading import reading
from aptp.data.shards import members
from aptp.data.storage import beside, files, is_picture
from runtime.errors import DataError, UsageError, nearest

if TYPE_CHECKING:
    import pyarrow

IDENTITIES = ("uid", "url", "key")
CAPTION = "vlm_caption"


def listing(root: Path, split: str, conditions: str = "", columns: Sequence[str] = (CAPTION,)) -> Listing:
    """List the pairs of a split that fulfil `conditions`, with captions from `columns`, of which one is drawn
    each time. Raises DataError, UsageError for conditions that cannot be, and Refused without pyarrow.
    """
    wanted = parse(conditions)
    # img2dataset leaves parquet files of its own.
    tables = [
        path
        for path in files(root)
        if path.suffix == ".parquet" and CAPTION in parquet.opened(root / path).schema_arrow.names
    ]
    if not tables:
        raise DataError(f"{root} has no parquet file with a column '{CAPTION}', as PixelProse has")
    places = _places(root)
    lister = Lister()
    for path in tables:
        for captions, identities in _rows(root / path, columns, wanted, lister):
            place = next((places[each] for each in identities if each in places), None)
            if place:
                lister.add([without_prefix(caption or "") for caption in captions], place, identities[0])
            else:
                lister.leave_out("without a picture")
    return lister.listing(split)


def _rows(
    path: Path, captions: Sequence[str], wanted: tuple[Condition, ...], lister: Lister
) -> Iterator[tuple[tuple[str | None, ...], tuple[str | None, ...]]]:
    """Yield captions and identities of the rows that meet all conditions, and count the others."""
    schema = parquet.opened(path).schema_arrow
    columns = (*captions, *IDENTITIES)
    for name in (*columns, *(condition.column for condition in wanted)):
        if name not in schema.names:
            raise DataError(f"{path} has no column '{name}'{nearest(name, schema.names)}")
    filters = [_expression(schema.field(each.column), each) for each in wanted]
    read = list(dict.fromkeys((*columns, *(condition.column for condition in wanted))))
    for batch in parquet.batches(path, read):
        found = _filtered(batch, filters, path)
        if left := len(batch) - len(found):
            lister.leave_out("outside the conditions", left)
        for row in zip(*(found[name].to_pylist() for name in columns), strict=True):
            yield row[: len(captions)], row[len(captions) :]


def _filtered(batch: Any, filters: Sequence[Any], path: Path) -> Any:
    from pyarrow import Table

    found = Table.from_batches([batch])
    with reading(path, "table that conditions can be asked of"):
        for each in filters:
            found = found.filter(each)
    return found


def _expression(field: "pyarrow.Field", condition: Condition) -> Any:
    from pyarrow import compute, types

    operand = compute.field(field.name)
    numeric = types.is_integer(field.type) or types.is_floating(field.type)
    if not numeric and condition.relation not in ("==", "!="):
        raise UsageError(f"'{field.name}' holds text, which can only be == or !=")
    try:
        return condition.of(operand, float(condition.value) if numeric else condition.value)
    except ValueError as error:
        raise UsageError(f"'{field.name}' holds numbers, and '{condition.value}' is none") from error


def _places(root: Path) -> dict[str, str]:
    """Return the pictures by what identifies them."""
    found: dict[str, str] = {}
    for path in files(root):
        if path.suffix == ".tar":
            for sample in members(root, path, "json"):
                found[_identity(sample.text, Path(sample.key).name)] = sample.place
        elif is_picture(path):
            found[_identity(beside(root, str(path), ".json"), path.stem)] = str(path)
    found.pop("", None)
    return found


def _identity(told: str | None, name: str) -> str:
    """Return what identifies a picture; empty where its `.json` does not say: better none than another's
    caption.
    """
    if told is None:
        return name
    try:
        body = json.loads(told)
        return str(body.get("uid") or body.get("url") or "")
    except (ValueError, AttributeError, RecursionError):
        return ""
