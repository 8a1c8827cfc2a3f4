"""Untrusted JSON: bytes to plain values within caps, and typed access to their fields.

Manifests, checkpoint indexes and profiles are read by it, under the same caps. It refuses duplicate keys,
NaN, Infinity, deep nesting, big numbers, unknown fields and wrong types. Whatever the bytes are, the only
exception that leaves this file is of the class that the caller names: `error`.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from runtime.errors import AptpError, nearest

BYTES = 4 * 1024 * 1024  # of a whole document
DEPTH = 32  # of nested objects and lists
INTEGER = 2**53
TEXT = 4096  # characters in a string

T = TypeVar("T")


class _Illegal(Exception):
    """The error that the hooks below raise to `decode`; `json` would take a ValueError for its own."""


def decode(
    data: bytes, name: str, error: type[AptpError], *, integer: int = INTEGER, most: int = BYTES
) -> dict[str, Any]:
    """Return the JSON object in `data`, of at most `most` bytes; `name` is what messages call it.

    Integers reach to `integer`, a power of 2. Raises `error`.
    """
    if len(data) > most:
        raise error(f"{name}: {len(data)} bytes, and at most {most} are allowed")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=partial(_int, most=integer),
        )
    except RecursionError:
        raise error(f"{name}: nested deeper than {DEPTH} levels") from None
    except _Illegal as illegal:
        raise error(f"{name}: {illegal}") from None
    except ValueError as reason:  # covers bad UTF-8 and bad JSON
        raise error(f"{name}: not UTF-8 JSON: {reason}") from reason
    if not _shallow(value):
        raise error(f"{name}: nested deeper than {DEPTH} levels")
    if not isinstance(value, dict):
        raise error(f"{name}: the top level must be an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Illegal(f"the key {key[:64]!r} appears twice in one object")
            seen.add(key)
    return result


def _constant(text: str) -> float:
    raise _Illegal(f"{text} is not a number that the format allows")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Illegal(f"the number {text[:32]} is too large")
    return value


def _int(text: str, most: int) -> int:
    # Checked before conversion, whose cost grows with the square of the digits.
    if len(text) > len(str(most)) + 1 or abs(int(text)) > most:
        raise _Illegal(f"the integer {text[:32]} is beyond 2^{most.bit_length() - 1}")
    return int(text)


def check_surrogates(value: Any, name: str, error: type[AptpError]) -> None:
    """Refuse halves of surrogate pairs, which have no bytes, wherever in a document they are."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise error(f"{name}: holds half of a surrogate pair") from None


def _shallow(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return True
        level = [item for box in containers for item in (box.values() if isinstance(box, dict) else box)]
    return False


def refuse_reserved(
    document: dict[str, Any], where: str, reserved: Mapping[str, str], error: type[AptpError]
) -> None:
    """Refuse the fields and values that a format keeps for later; `where` is what messages call the document.

    `reserved` gives the reason for each path, such as `experts.*.rung`, in which `*` is every item of a list
    or of a table; `kind=network` keeps that value alone.
    """
    for path, reason in reserved.items():
        name, _, wanted = path.partition("=")
        for place, found in _visit(document, name.split("."), where):
            if not wanted:
                raise error(f"{place}: {reason}")
            if found == wanted:
                raise error(f"{place} {wanted!r}: {reason}")


def _visit(value: Any, path: list[str], where: str) -> Iterator[tuple[str, Any]]:
    """Each value that the path leads to, after its place."""
    if not path:
        yield where, value
        return
    step, *rest = path
    if step != "*":
        if isinstance(value, dict) and step in value:
            yield from _visit(value[step], rest, f"{where}.{step}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _visit(item, rest, f"{where}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _visit(item, rest, f"{where} {key[:64]!a}")


class Fields:
    """One JSON object whose fields are taken by name and type; `close` refuses what was not taken.

    `failure` is the class of every error. `lenient` is for a document of a newer minor version, whose unknown
    fields are ignored.
    """

    def __init__(self, value: Any, where: str, failure: type[AptpError], *, lenient: bool = False) -> None:
        if not isinstance(value, dict):
            raise failure(f"{where}: must be an object, not {_kind(value)}")
        self.where, self.failure, self.lenient = where, failure, lenient
        self._value: dict[str, Any] = value
        self._taken: set[str] = set()

    def raw(self, name: str) -> Any:
        """Return the field's value, whatever it is."""
        self._taken.add(name)
        if name not in self._value:
            raise self.failure(f"{self.where}: the field {name!r} is missing")
        return self._value[name]

    def has(self, name: str) -> bool:
        """Whether an optional field is there."""
        self._taken.add(name)
        return name in self._value

    def text(self, name: str, *, choices: tuple[str, ...] = ()) -> str:
        """Return a string of 1 to 4,096 characters without NUL; one of `choices` if any are given."""
        value = as_text(self.raw(name), f"{self.where}.{name}", self.failure)
        if choices and value not in choices:
            listed = ", ".join(map(repr, choices))
            raise self.error(name, f"{value[:64]!r} is not one of {listed}{nearest(value, choices)}")
        return value

    def texts(self, name: str) -> dict[str, str]:
        """Return an object with free keys, and a string under each."""
        return self.each(name, lambda _, value, where: as_text(value, where, self.failure))

    def digest(self, name: str) -> str:
        """Return a SHA-256 in lower-case hexadecimal."""
        value = self.text(name)
        if not re.fullmatch(r"[0-9a-f]{64}", value):
            raise self.error(name, "must be 64 lower-case hexadecimal digits")
        return value

    def integer(self, name: str, low: int = 0, high: int = INTEGER) -> int:
        """Return an integer from `low` to `high`."""
        return as_integer(self.raw(name), f"{self.where}.{name}", self.failure, low, high)

    def number(self, name: str) -> float:
        """Return a finite number."""
        return as_number(self.raw(name), f"{self.where}.{name}", self.failure)

    def object(self, name: str) -> dict[str, Any]:
        """Return an object, of which nothing more is asked here."""
        value = self.raw(name)
        if not isinstance(value, dict):
            raise self.error(name, f"must be an object, not {_kind(value)}")
        return value

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self.raw(name)
        if not isinstance(value, bool):
            raise self.error(name, f"must be true or false, not {_kind(value)}")
        return value

    def fields(self, name: str) -> "Fields":
        """Return an object with known fields."""
        return self._within(self.raw(name), f"{self.where}.{name}")

    def objects(self, name: str, build: Callable[["Fields"], T], *, least: int = 1) -> tuple[T, ...]:
        """Return a list of at least `least` objects with known fields."""
        return self.items(name, lambda value, where: build(self._within(value, where)), least=least)

    def table(self, name: str, build: Callable[["Fields"], T]) -> dict[str, T]:
        """Return an object with free keys, and under each an object with known fields."""
        return self.each(name, lambda _, value, where: build(self._within(value, where)))

    def each(self, name: str, build: Callable[[str, Any, str], T]) -> dict[str, T]:
        """Return an object whose keys are names, under the rule for strings: `build(key, value, where)` for
        each.
        """
        found = {}
        for key, item in self.object(name).items():
            where = f"{self.where}.{name} {key[:64]!a}"
            as_text(key, where, self.failure)
            found[key] = build(key, item, where)
        return found

    def items(self, name: str, build: Callable[[Any, str], T], *, least: int = 1) -> tuple[T, ...]:
        """Return a list of at least `least` items, 0 or 1: `build(value, where)` for each."""
        value = self.raw(name)
        if not isinstance(value, list) or len(value) < least:
            raise self.error(name, "must be a list of at least one item" if least else "must be a list")
        return tuple(build(item, f"{self.where}.{name}[{index}]") for index, item in enumerate(value))

    def _within(self, value: Any, where: str) -> "Fields":
        return Fields(value, where, self.failure, lenient=self.lenient)

    def error(self, name: str, message: str) -> AptpError:
        """Return an error that says where."""
        return self.failure(f"{self.where}.{name}: {message}")

    def close(self) -> None:
        """Refuse fields that nothing asked for, unless the document is of a newer minor version."""
        unknown = sorted(self._value.keys() - self._taken)
        if unknown and not self.lenient:
            hint = nearest(unknown[0], self._taken)
            raise self.failure(f"{self.where}: unknown field {unknown[0][:64]!a}{hint}")


def as_text(value: Any, where: str, error: type[AptpError]) -> str:
    """`value` as a string of 1 to 4,096 characters without NUL or unpaired surrogates."""
    if not isinstance(value, str) or not 0 < len(value) <= TEXT:
        raise error(f"{where}: must be a string of 1 to {TEXT} characters")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise error(f"{where}: holds a NUL or half of a surrogate pair")
    return value


def as_integer(value: Any, where: str, error: type[AptpError], low: int = 0, high: int = INTEGER) -> int:
    """`value` as an integer from `low` to `high`; neither booleans nor 1.0 are integers."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise error(f"{where}: must be an integer, not {_kind(value)}")
    if not low <= value <= high:
        raise error(f"{where}: {value} is outside {low} to {high}")
    return value


def as_number(value: Any, where: str, error: type[AptpError]) -> float:
    """`value` as a float."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise error(f"{where}: must be a number, not {_kind(value)}")
    return float(value)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
