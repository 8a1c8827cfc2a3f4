"""The positions of letters in a written word."""

from functools import cache, lru_cache

from PIL import ImageFont

from aptp.data.scenes.render import LETTER_HEIGHT, SCALE


@lru_cache(maxsize=4096)
def ends(text: str) -> tuple[float, ...]:
    """Return where each letter ends, in pixels from the start of the first, which is the first entry."""
    return tuple(_font().getlength(text[:n]) / SCALE for n in range(len(text) + 1))


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=LETTER_HEIGHT * SCALE)
