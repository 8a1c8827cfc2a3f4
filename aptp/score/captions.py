"""Captions of a set of pictures, from a file."""

import csv
import json
from pathlib import Path

from runtime.cli.prompts import SEPARATORS, Plain, read_prompts
from runtime.errors import UsageError
from runtime.files.source import read_source

MOST_BYTES = 1 << 30
FILES = ("file_name", "file", "filename")
TEXTS = ("text", "caption", "prompt")


def read_captions(path: Path) -> dict[str, str] | list[str]:
    """Read captions by file name, or in the order of the pictures where no file is named.

    `.jsonl`: an object a line with `file_name` and `text`, as Hugging Face's folders have it; `.csv` and
    `.tsv`: a table with a column of captions and, maybe, one of files; else one caption a line. Raises
    UsageError.
    """
    if path.suffix.lower() == ".jsonl":
        return _objects(path)
    return _named(path) or read_prompts(path)


def _text(path: Path) -> str:
    try:
        return read_source(path, MOST_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--captions {path} cannot be read as UTF-8 text: {error}") from error


def _objects(path: Path) -> dict[str, str]:
    found = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        try:
            entry = json.loads(line)
            found[str(entry["file_name"])] = next(str(entry[name]) for name in TEXTS if name in entry)
        except (ValueError, LookupError, TypeError, StopIteration) as error:
            raise UsageError(
                f"--captions {path}, line {number} is no JSON object with 'file_name' and 'text'"
            ) from error
    if not found:
        raise UsageError(f"--captions {path} holds no captions: give an object a line")
    return found


def _named(path: Path) -> dict[str, str] | None:
    """Return the captions of a table by file; None for what is no table with a column of files."""
    separator = SEPARATORS.get(path.suffix.lower())
    if separator is None:
        return None
    dialect = Plain if separator == "\t" else csv.excel
    try:
        rows = list(csv.reader(_text(path).splitlines(keepends=True), dialect))
    except csv.Error as error:
        raise UsageError(f"--captions {path} is no table: {error}") from error
    head = [name.strip().lower() for name in rows[0]] if rows else []
    places = [[head.index(name) for name in names if name in head] for names in (FILES, TEXTS)]
    if not all(places):
        return None
    file, text = places[0][0], places[1][0]
    return {row[file]: row[text] for row in rows[1:] if len(row) > max(file, text)}
