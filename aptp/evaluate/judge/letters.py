"""Where the letters of a written word lie."""

from __future__ import annotations

from functools import cache

from PIL import ImageFont

from aptp.data.scenes.render import LETTER_HEIGHT, SCALE


def ends(text: str) -> list[float]:
    """Where each letter ends, in pixels from the start of the first, which is the first entry."""
    return [_font().getlength(text[:n]) / SCALE for n in range(len(text) + 1)]


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=LETTER_HEIGHT * SCALE)
