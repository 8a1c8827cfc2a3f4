"""Prompts from a file: UTF-8 text with one a line, or a table that has a column of them.

Refuses tables that do not say which column it is.
"""

import csv
from pathlib import Path

from runtime.errors import UsageError
from runtime.files.source import read_source

MOST_BYTES = 256 << 20
SEPARATORS = {".tsv": "\t", ".csv": ","}
COLUMNS = ("prompt", "caption", "text")  # in order of preference, in whatever case


class Plain(csv.excel_tab):
    """Tab-separated values, quoted nowhere."""

    quoting = csv.QUOTE_NONE


def read_prompts(path: str | Path) -> list[str]:
    """Read the prompts of a file, empty ones left out. Raises UsageError where there are none."""
    path = Path(path)
    try:
        text = read_source(path, MOST_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as UTF-8 text: {error}") from error
    separator = SEPARATORS.get(path.suffix.lower())
    prompts = _column(path, text, separator) if separator else text.splitlines()
    prompts = [prompt for prompt in prompts if prompt.strip()]
    if not prompts:
        raise UsageError(f"{path} holds no prompts: give one a line, or a .tsv or .csv with a column of them")
    return prompts


def _column(path: Path, text: str, separator: str) -> list[str]:
    # Tab-separated files quote nothing, and their prompts hold quotation marks of their own.
    dialect = Plain if separator == "\t" else csv.excel
    table = csv.reader(text.splitlines(keepends=True), dialect)
    try:
        head, *rows = list(table) or [[]]
    except csv.Error as error:
        raise UsageError(f"{path} is no table: {error}") from error
    names = [name.strip().lower() for name in head]
    found = [names.index(name) for name in COLUMNS if name in names]
    if not found:
        raise UsageError(
            f"{path} has no column named {', '.join(COLUMNS)}; its first line has {', '.join(head)[:200]!r}"
        )
    return [row[found[0]] for row in rows if len(row) > found[0]]
