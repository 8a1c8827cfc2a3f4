"""Tables of captions: two columns without a heading, or named fields as CSV, JSON lines or parquet."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aptp.data import parquet
from aptp.data.reading import json_object, lines, reading
from runtime.errors import DataError


def rows(path: Path, first: str, second: str) -> Iterator[tuple[str, str]]:
    """Yield the rows of a file of two columns, called `first` and `second`, which a tab separates, without a
    heading and without quoting. Raises DataError for a row that has another number of columns.
    """
    for number, line in lines(path):
        columns = line.rstrip("\r\n").split("\t")
        if len(columns) != 2:
            raise DataError(
                f"{path}, line {number} has {len(columns)} columns; it should have two, {first} and {second}"
            )
        yield columns[0], columns[1]


def entries(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the fields of each entry of a table by name, after its place. The ending of `path` says what it
    is. Raises DataError.
    """
    kinds = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
    yield from kinds[path.suffix](path)


def _csv(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with reading(path, "table of comma-separated values"):
        found = csv.DictReader((line for _, line in lines(path)), strict=True)
        for entry in found:
            where = f"{path}, line {found.line_num}"
            if None in entry or None in entry.values():
                heading = len(found.fieldnames or ())
                raise DataError(f"{where} has not the {heading} values that the heading names")
            yield where, entry


def _json_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in lines(path):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        yield where, json_object(line, where)


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, entry in enumerate(parquet.entries(path)):
        yield f"{path}, row {number}", entry
