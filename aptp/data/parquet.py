"""Parquet files, by pyarrow, which is imported when the first of them is opened."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aptp.data.reading import reading
from runtime.errors import Refused

FORM = "whole parquet file"
ROWS = 4096  # that are held at once


def opened(path: Path) -> Any:
    """Open a file as pyarrow does. Raises DataError, and Refused without pyarrow."""
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise Refused(f"{path} is a parquet file; install aptp[parquet] to read it") from error
    with reading(path, FORM):
        if not path.is_file():
            raise ValueError("it is not a regular file")
        return parquet.ParquetFile(path)


def batches(path: Path, columns: list[str]) -> Iterator[Any]:
    """Yield batches of rows. Raises DataError, and Refused without pyarrow."""
    file = opened(path)
    with reading(path, FORM):
        yield from file.iter_batches(ROWS, columns=columns)


def entries(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file. Raises DataError, and Refused without pyarrow."""
    for batch in batches(path, opened(path).schema_arrow.names):
        yield from batch.to_pylist()
