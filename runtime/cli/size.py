"""Sizes as people write them: WIDTHxHEIGHT in pixels, as browsers, ffmpeg and OpenAI's API do."""

import re
from typing import NamedTuple


class Size(NamedTuple):
    """A picture's sides, in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


def read_size(text: str) -> Size:
    """Read `WIDTHxHEIGHT`. Raises `ValueError`, whose message completes "is no size: ..."."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", text, re.ASCII)
    if not match:
        raise ValueError("give WIDTHxHEIGHT in pixels, such as 512x512")
    return Size(int(match[1]), int(match[2]))
