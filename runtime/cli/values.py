"""Values of options, from text: each reader is an argparse `type` whose error says what to give."""

import math
import operator
import re
from argparse import ArgumentTypeError
from numbers import Real

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
    if value is None:
        return None
    found = integer(value)
    if found is None:
        raise UsageError(f"{name} {value!r}: give an integer")
    if found < 1:
        raise UsageError(f"{name} {value}: give an integer of at least 1")
    return found


def integer(value: object) -> int | None:
    """Return an integer of any kind, such as numpy's, as Python's own; None for anything else, and bools."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return None
    try:
        return operator.index(value)
    except TypeError:  # such as an array of several
        return None


def number(value: object) -> float | None:
    """Return a finite real number of any kind as a float; None for anything else, and bools."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        found = float(value)
    except OverflowError:  # an integer beyond every float
        return None
    return found if math.isfinite(found) else None
