"""JSON as our files hold it: one object, no key twice, no number that JSON does not know."""

from __future__ import annotations

import json
from typing import Any


def parse_object(data: bytes, limit: int) -> dict[str, Any]:
    """The object in ``data``, which has at most ``limit`` bytes.

    Raises ValueError, which says what the data are instead: "larger than …", "not …".
    """
    if len(data) > limit:
        raise ValueError(f"larger than {limit} bytes")
    try:
        body = json.loads(data, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not the JSON it should be: {error}") from error
    if not isinstance(body, dict):
        raise ValueError("not an object")
    return body


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number JSON allows")
