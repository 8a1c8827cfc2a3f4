"""PixelProse: its parquet files, which hold captions and scores, and the pictures that img2dataset fetched.

The captions are `vlm_caption`, without the words that nearly all begin with. Pictures are files or members
of tar shards anywhere below the folder. One belongs to a row by the `uid` in the `.json` beside it, or else
by the `url` there; without a `.json` by its own name, which is the row's `uid` or `key`. A `.json` counts
first, for img2dataset numbers what it fetches anew, and such a number is another row's `key`.

Conditions on any column choose rows; a row whose column is empty fulfils none. Splits are by hash of `uid`.
Needs pyarrow, and is alone in that.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aptp.data.captions import without_prefix
from aptp.data.conditions import Condition, parse
from aptp.data.pairs import Lister, Listing
from aptp.data.shards import members
from aptp.data.storage import beside, files, is_picture
from runtime.errors import DataError, Refused, UsageError, nearest

if TYPE_CHECKING:
    import pyarrow

IDENTITIES = ("uid", "url", "key")
CAPTION = "vlm_caption"


def listing(root: Path, split: str, conditions: str = "") -> Listing:
    """List the pairs of a split that fulfil `conditions`. Raises DataError, UsageError for conditions that
    cannot be, and Refused without pyarrow.
    """
    wanted = parse(conditions)
    tables = [path for path in files(root) if path.suffix == ".parquet" and _is_ours(root / path)]
    if not tables:
        raise DataError(f"{root} has no parquet file with a column '{CAPTION}', as PixelProse has")
    places = _places(root)
    lister = Lister()
    for path in tables:
        for caption, *identities in _rows(root / path, wanted, lister):
            place = next((places[each] for each in identities if each in places), None)
            if place:
                lister.add(without_prefix(caption or ""), place, identities[0])
            else:
                lister.leave_out("without a picture")
    return lister.listing(split)


def _is_ours(path: Path) -> bool:
    """Return whether a parquet file is PixelProse's; img2dataset leaves some of its own."""
    return CAPTION in _open(path).schema_arrow.names


def _open(path: Path) -> Any:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ModuleNotFoundError as error:
        raise Refused("PixelProse is kept in parquet files; install aptp[parquet] to read them") from error
    try:
        return parquet.ParquetFile(path)
    except (ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is no whole parquet file ({error}); fetch it again or remove it") from error


def _rows(path: Path, wanted: tuple[Condition, ...], lister: Lister) -> Iterator[list[str | None]]:
    """Return caption and identities of the rows that meet all conditions, and count the others."""
    from pyarrow import Table

    file = _open(path)
    columns = (CAPTION, *IDENTITIES)
    for name in (*columns, *(condition.column for condition in wanted)):
        if name not in file.schema_arrow.names:
            known = file.schema_arrow.names
            raise DataError(f"{path} has no column '{name}'{nearest(name, known)}")
    filters = [_expression(file.schema_arrow.field(each.column), each) for each in wanted]
    read = list(dict.fromkeys((*columns, *(condition.column for condition in wanted))))
    for batch in file.iter_batches(columns=read):
        found = Table.from_batches([batch])
        for each in filters:
            found = found.filter(each)
        if left := len(batch) - len(found):
            lister.leave_out("outside the conditions", left)
        yield from zip(*(found[name].to_pylist() for name in columns), strict=True)


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


def _identity(told: bytes | str | None, name: str) -> str:
    """Return what identifies a picture; empty where its `.json` does not say: better none than another's
    caption.
    """
    if told is None:
        return name
    try:
        body = json.loads(told)
        return str(body.get("uid") or body.get("url") or "")
    except (ValueError, AttributeError):
        return ""
