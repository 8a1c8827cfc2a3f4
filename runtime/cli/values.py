"""Values of options, from text: each reader is an argparse `type` whose error says what to give."""

import re
from argparse import ArgumentTypeError

from runtime.cli.size import Size, read_size
from runtime.errors import UsageError

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def whole(text: str) -> int:
    """Read an integer from 0. Raises `ArgumentTypeError`."""
    if not re.fullmatch(r"[0-9]{1,30}", text):
        raise ArgumentTypeError(f"{text!r}: give an integer from 0")
    return int(text)


def seed(text: str) -> int | None:
    """Read an integer from 0, or None for the word `random`. Raises `ArgumentTypeError`."""
    if text == "random":
        return None
    if not re.fullmatch(r"[0-9]{1,30}", text):
        raise ArgumentTypeError(f"{text!r}: give an integer from 0, or random")
    return int(text)


def size(text: str) -> Size:
    """Read WIDTHxHEIGHT in pixels. Raises `ArgumentTypeError`."""
    try:
        return read_size(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r}: {error}") from error


def memory(text: str) -> int:
    """Read an amount of memory with its unit, such as 8GiB, in bytes. Raises `ArgumentTypeError`."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([A-Za-z]+)", text, re.ASCII)
    if not match or match[2] not in UNITS or not (found := int(float(match[1]) * UNITS[match[2]])):
        raise ArgumentTypeError(
            f"{text!r}: give an amount above 0 with its unit ({', '.join(UNITS)}), such as 8GiB"
        )
    return found


def check_limit(value: int | None, name: str) -> int | None:
    """Return `value` if it is None or an integer of at least 1. Raises `UsageError`, which says `name`."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise UsageError(f"{name} {value!r}: give an integer")
    if value is not None and value < 1:
        raise UsageError(f"{name} {value}: give an integer of at least 1")
    return value
