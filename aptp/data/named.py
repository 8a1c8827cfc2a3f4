"""Sources by the name a command line gives them."""

from __future__ import annotations

from aptp.data.sample import Source
from aptp.data.scenes.source import Scenes
from aptp.errors import UsageError, nearest

NAMES = ("scenes",)


def open_source(name: str, *, seed: int = 0, split: str = "train") -> Source:
    """The split of a source. Raises UsageError for a name that is none."""
    if name not in NAMES:
        raise UsageError(f"there is no data named '{name}'{nearest(name, NAMES)}; use {', '.join(NAMES)}")
    return Scenes(split, seed=seed)
