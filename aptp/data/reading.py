"""The boundary of all readers: files that are not what they should be become a DataError that names them.

Text is UTF-8, with a byte order mark or without, or what another mark says: UTF-16 or UTF-32.
"""

import codecs
import csv
import json
import struct
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from runtime.errors import AptpError, DataError
from runtime.files.source import open_source

MOST_LINE = 16 << 20  # characters
# In this order, for the mark of UTF-32 begins like that of UTF-16.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What parsers raise for bytes that are not what they say; a RecursionError is a RuntimeError.
WRONG = (
    *(
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        EOFError,
        RuntimeError,
        MemoryError,
    ),
    *(csv.Error, tarfile.TarError, struct.error, zlib.error),
)


@contextmanager
def reading(path: Path, form: str) -> Iterator[None]:
    """Within, raise DataError for whatever is wrong with what lies at `path`, which should be a `form`."""
    try:
        yield
    except AptpError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except WRONG as error:
        why = str(error) or type(error).__name__
        raise DataError(f"{path} is no {form} ({why}); fetch it again or remove it") from error


def json_object(told: str, name: str) -> dict[str, Any]:
    """Parse the JSON object of what messages call `name`. Raises DataError."""
    try:
        found = json.loads(told)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is no JSON object ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"{name} is no JSON object")
    return found


def text(data: bytes, name: str) -> str:
    """Decode the bytes of what messages call `name`. Raises DataError."""
    encoding = _encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1  # the object lacks the mark
        raise _not_text(name, line, encoding) from error


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file, ends included, after their numbers from 1. Raises DataError."""
    with reading(path, "text file"), open_source(path) as file:
        encoding = _encoding(file.peek(4))
        # What is no UTF-8 comes through as surrogates, so that its line is known.
        errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
        content = TextIOWrapper(file, encoding, errors, newline="\n")
        number = 0
        try:
            while line := content.readline(MOST_LINE):
                number += 1
                if len(line) == MOST_LINE:
                    raise DataError(f"{path}, line {number} is longer than {MOST_LINE:,} characters")
                if not line.isascii():
                    line.encode()
                yield number, line
        except UnicodeDecodeError as error:
            raise _not_text(str(path), number + 1, encoding) from error
        except UnicodeEncodeError as error:
            raise _not_text(str(path), number, encoding) from error


def _encoding(data: bytes) -> str:
    return next((encoding for mark, encoding in MARKS.items() if data.startswith(mark)), "utf-8")


def _not_text(name: str, line: int, encoding: str) -> DataError:
    said = encoding.removesuffix("-sig").upper()
    return DataError(
        f"{name}, line {line} is not {said}; convert the file, such as by `iconv --from-code=LATIN1 "
        "--to-code=UTF-8`"
    )
