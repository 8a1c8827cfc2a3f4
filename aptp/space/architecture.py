"""Architectures: binary codes that respect the rules of their space.

A *code* is any point of the space, a real vector of D scores. An *architecture* is what can be built from
it: every gate kept or dropped, at least one head or group everywhere, optionally rounded to channel counts
that hardware likes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aptp.space.groups import Kind, Space
from runtime.errors import SpaceError, nearest

THRESHOLD = 0.5


@dataclass(frozen=True, eq=False, slots=True)
class Architecture:
    """An architecture of `space`; `keep` is a boolean vector [D].

    Raises SpaceError where it breaks the space's rules.
    """

    space: Space
    keep: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.keep.shape != (self.space.size,) or self.keep.dtype != np.bool_:
            raise SpaceError(
                f"an architecture of this space is {self.space.size} booleans, "
                f"not {self.keep.dtype} of shape {self.keep.shape}"
            )
        for group, columns in self.space.columns():
            if not self.keep[columns].any():
                raise SpaceError(f"{group.module}: all {group.gates} gates are dropped; keep at least one")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Architecture):
            return NotImplemented
        return self.space == other.space and bool(np.array_equal(self.keep, other.keep))

    def __hash__(self) -> int:
        return hash(self.keep.tobytes())

    @property
    def dropped(self) -> tuple[str, ...]:
        """Module paths of the sublayers that are skipped."""
        return tuple(gate.module for gate, column in self.space.depth_columns() if not self.keep[column])

    def to_json(self) -> dict[str, Any]:
        """Map module paths to bit strings: self-describing, and readable in a diff."""
        widths = {group.module: _bits(self.keep[columns]) for group, columns in self.space.columns()}
        depths = {gate.module: bool(self.keep[column]) for gate, column in self.space.depth_columns()}
        return {"widths": widths, "depths": depths}

    @classmethod
    def from_json(cls, space: Space, data: Mapping[str, Any]) -> "Architecture":
        """Read what `to_json` wrote. Raises SpaceError, naming the module, where `data` does not
        fit `space`.
        """
        widths, depths = _object(data, "widths"), _object(data, "depths")
        _same_names(widths, [group.module for group in space.widths], "widths")
        _same_names(depths, [gate.module for gate in space.depths], "depths")
        keep = np.zeros(space.size, dtype=np.bool_)
        for group, columns in space.columns():
            bits = widths[group.module]
            if not isinstance(bits, str) or len(bits) != group.gates or set(bits) - {"0", "1"}:
                raise SpaceError(
                    f"{group.module}: expected {group.gates} characters 0 or 1, found {bits!r:.80}"
                )
            keep[columns] = [bit == "1" for bit in bits]
        for gate, column in space.depth_columns():
            if not isinstance(depths[gate.module], bool):
                raise SpaceError(f"{gate.module}: expected true or false, found {depths[gate.module]!r:.80}")
            keep[column] = depths[gate.module]
        return cls(space, keep)

    def digest(self) -> str:
        """Return the SHA-256 of the canonical JSON form."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


def full(space: Space) -> Architecture:
    """Return the dense architecture."""
    return Architecture(space, np.ones(space.size, dtype=np.bool_))


def harden(space: Space, code: ArrayLike, *, align: int = 1) -> Architecture:
    """Return the architecture of a code: gates above ½ are kept, and whatever is not legal is mended.

    A group that would lose every gate keeps its highest-scoring one. With `align` > 1 each resnet and
    feed-forward group is widened, best scores first, until its channels are a multiple of `align` or all
    are kept (heads are left as they are: their width is the head dimension). Ties go to the lower index, so
    the result is deterministic.

    `code`: [D] finite scores. Raises SpaceError for any other shape, non-finite scores, or `align` < 1.
    """
    scores = np.asarray(code, dtype=np.float64)
    if scores.shape != (space.size,):
        raise SpaceError(f"a code of this space has {space.size} scores, not shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise SpaceError("the code has scores that are not finite")
    if align < 1:
        raise SpaceError(f"align is {align}; it must be at least 1 channel")
    keep = scores > THRESHOLD
    for group, columns in space.columns():
        step = align // gcd(group.chunk, align) if group.kind in (Kind.RESNET, Kind.FEED_FORWARD) else 1
        wanted = max(1, int(keep[columns].sum()))
        wanted = min(group.gates, -(-wanted // step) * step)
        best = np.argsort(-scores[columns], kind="stable")[:wanted]
        keep[columns] = False
        keep[columns.start + best] = True
    return Architecture(space, keep)


def _bits(keep: NDArray[np.bool_]) -> str:
    return "".join("1" if kept else "0" for kept in keep)


def _object(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    if not isinstance(value, Mapping):
        raise SpaceError(f"an architecture needs an object '{key}', found {value!r:.80}")
    return value


def _same_names(found: Mapping[str, Any], expected: list[str], what: str) -> None:
    for name in found:
        if name not in expected:
            raise SpaceError(f"{what}: this UNet has no prunable module {name}{nearest(name, expected)}")
    for name in expected:
        if name not in found:
            raise SpaceError(f"{what}: {name} is missing from the code")
