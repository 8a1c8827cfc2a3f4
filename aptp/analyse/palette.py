"""A colour for each code, from the cheapest to the dearest; all of them can be read on white and on black."""

from collections.abc import Sequence

import numpy as np

RAMP = ("#d99a1f", "#d5604c", "#9d55a8", "#4a6fd0")
STRANGERS = ("#12a594", "#7a8594", "#b0793b")  # sets of prompts from elsewhere


def colours(costs: Sequence[float]) -> list[str]:
    """Return a hexadecimal colour for each code, by the rank of its cost."""
    ranks = np.argsort(np.argsort(costs, kind="stable"), kind="stable")
    places = ranks / max(1, len(costs) - 1) * (len(RAMP) - 1)
    channels = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in RAMP])
    mixed = [np.interp(places, range(len(RAMP)), channels[:, i]).round().astype(int) for i in range(3)]
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in zip(*mixed, strict=True)]


def stranger(index: int) -> str:
    """Return the colour of a set of prompts from elsewhere."""
    return STRANGERS[index % len(STRANGERS)]
