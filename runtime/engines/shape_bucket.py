"""The shapes that an engine is specialised to."""

from typing import NamedTuple


class ShapeBucket(NamedTuple):
    """A model and the shapes it is opened for. `rows` 0 leaves the batch open."""

    model: str
    rows: int
    height: int
    width: int
