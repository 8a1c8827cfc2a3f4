"""Tables of two columns, separated by a tab, without a heading and without quoting."""

from collections.abc import Iterator
from pathlib import Path

from runtime.errors import DataError


def rows(path: Path, first: str, second: str) -> Iterator[tuple[str, str]]:
    """Yield the rows of a file whose columns are called `first` and `second`. Raises DataError for a row that
    has another number of columns, and where the disk does not answer.
    """
    try:
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            for number, line in enumerate(file, 1):
                columns = line.rstrip("\r\n").split("\t")
                if len(columns) != 2:
                    raise DataError(
                        f"{path}, line {number} has {len(columns)} columns; it should have two, "
                        f"{first} and {second}"
                    )
                yield columns[0], columns[1]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
