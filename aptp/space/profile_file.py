"""A profile as a file (docs/PROFILE.md): strict reading, deterministic writing."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from aptp.space.groups import Kind
from aptp.space.profile import FIXED, Measured, Profile, Setting, Whole
from aptp.space.strict_json import parse_object
from runtime.errors import StorageError, TableError, nearest

FORMAT, VERSION = "aptp-profile", "1.0"
MAX_BYTES = 64 << 20

T = TypeVar("T")


def to_json(profile: Profile) -> bytes:
    body = {"format": FORMAT, "version": VERSION, **asdict(profile)}
    return (json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read(path: Path) -> Profile:
    """The finished profile in the file ``path``. Raises TableError, naming the field, for whatever
    docs/PROFILE.md does not allow.
    """
    found = read_unfinished(path)
    if not found.complete:
        raise TableError(f"{path} is not finished; run the same python -m export.profile command again")
    return found


def read_unfinished(path: Path) -> Profile:
    """As :func:`read`, of a profile that may still lack parts."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TableError(
            f"{path} cannot be read ({error.strerror}); make one with python -m export.profile"
        ) from error
    return _within(str(path), parse, data)


def parse(data: bytes) -> Profile:
    """The profile that ``data`` holds, finished or not. Raises TableError."""
    body = _load(data)
    if body.pop("format", None) != FORMAT:
        raise TableError(f"this is no profile: its format is not {FORMAT}")
    version = str(body.pop("version", None))
    if version.partition(".")[0] != VERSION.partition(".")[0]:
        raise TableError(f"version {version:.20} is unknown; this software reads {VERSION}: update it")
    _same_fields(body, Profile)
    return Profile(
        setting=_within("setting", _setting, _typed(body, "setting", dict)),
        environment=_typed(body, "environment", dict),
        complete=_typed(body, "complete", bool),
        parts=tuple(_within(f"parts[{i}]", _part, one) for i, one in enumerate(_list(body, "parts", dict))),
        wholes=tuple(
            _within(f"wholes[{i}]", _whole, one) for i, one in enumerate(_list(body, "wholes", dict))
        ),
    )


def _within(place: str, parser: Callable[[Any], T], value: Any) -> T:
    try:
        return parser(value)
    except TableError as error:
        raise TableError(f"{place}: {error}") from error


def _load(data: bytes) -> dict[str, Any]:
    try:
        return parse_object(data, MAX_BYTES)
    except ValueError as error:
        raise TableError(str(error)) from error


def _setting(body: dict[str, Any]) -> Setting:
    _same_fields(body, Setting)
    latent = _list(body, "latent", int)
    numbers = {name: _typed(body, name, int) for name in ("threads", "rows", "tokens")}
    if len(latent) != 2 or min(*numbers.values(), *latent) < 1:
        raise TableError("threads, rows, tokens and both sides of the latent must be at least 1")
    engine, precision = (_typed(body, name, str) for name in ("engine", "precision"))
    return Setting(engine, precision, latent=(latent[0], latent[1]), **numbers)


def _part(body: dict[str, Any]) -> Measured:
    _same_fields(body, Measured)
    kind, kinds = _typed(body, "kind", str), [FIXED, *Kind]
    if kind not in kinds:
        raise TableError(f"unknown kind '{kind:.40}'{nearest(kind, kinds)}")
    gates = _typed(body, "gates", int)
    samples = {
        _count(kept, gates): _samples(values) for kept, values in _typed(body, "samples", dict).items()
    }
    if not {1, gates} <= samples.keys():
        raise TableError(f"there must be samples with 1 gate kept and with all {gates}")
    return Measured(
        modules=tuple(_list(body, "modules", str)),
        kind=kind,
        gates=gates,
        chunk=_typed(body, "chunk", int),
        steady=_typed(body, "steady", bool),
        pace=_positive(body["pace"]),
        samples=samples,
    )


def _whole(body: dict[str, Any]) -> Whole:
    _same_fields(body, Whole)
    return Whole(
        share=_positive(body["share"]),
        widths=_typed(body, "widths", dict),
        depths=_typed(body, "depths", dict),
        steady=_typed(body, "steady", bool),
        samples=_samples(body["samples"]),
    )


def _count(text: str, gates: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and int(text) <= gates):
        raise TableError(f"samples are by gates kept, from 0 to {gates}, not '{text:.40}'")
    return int(text)


def _samples(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or not values:
        raise TableError(f"samples must be a list of seconds, found {values!r:.60}")
    return tuple(map(_positive, values))


def _positive(value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise TableError(f"expected a number above 0, found {value!r:.60}")
    return float(value)


def _typed(body: Mapping[str, Any], name: str, kind: type) -> Any:
    value = body[name]
    if type(value) is not kind:
        raise TableError(f"'{name}' must be a {kind.__name__}, found {value!r:.60}")
    return value


def _list(body: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    items = _typed(body, name, list)
    for item in items:
        if type(item) is not kind:
            raise TableError(f"'{name}' must hold {kind.__name__}s, found {item!r:.60}")
    return list(items)


def _same_fields(body: Mapping[str, Any], kind: Any) -> None:
    known = [item.name for item in fields(kind)]
    for name in body:
        if name not in known:
            raise TableError(f"unknown field '{name:.60}'{nearest(name, known)}")
    for name in known:
        if name not in body:
            raise TableError(f"the field '{name}' is missing")


def write(path: Path, profile: Profile) -> None:
    """Puts ``profile`` at ``path``, whole or not at all. Raises StorageError."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(to_json(profile))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}); name another with --out") from error
