"""Rendering of layouts: flat shapes and written words on plain or textured backgrounds, with smooth edges."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from aptp.data.scenes.compose import Layout, Mark
from aptp.data.scenes.scene import Background
from aptp.data.scenes.vocabulary import COLOURS, GROUNDS, SIDE, SIZES

SCALE = 2  # drawn larger and averaged down, for smooth edges
LETTER_HEIGHT = 22  # pixels of the font; five letters fill the width
BOLD = 1.5  # pixels, at the drawn scale, added around each stroke
CONTRAST = 22  # grey levels between a texture and its ground
PERIOD = 8  # pixels after which a texture repeats

Draw = ImageDraw.ImageDraw
Points = list[tuple[float, float]]


def render(layout: Layout) -> npt.NDArray[np.uint8]:
    """Render the picture, uint8 [64, 64, 3]; equal layouts give equal bytes."""
    image = Image.fromarray(_ground(layout.background))
    draw = ImageDraw.Draw(image)
    for mark in layout.marks:
        _SHAPES[mark.shape](draw, mark, COLOURS[mark.colour])
    if layout.word:
        at = (layout.x * SCALE, layout.y * SCALE)
        fill = COLOURS[layout.colour]
        draw.text(at, layout.word, fill, _font(), anchor="mm", stroke_width=BOLD, stroke_fill=fill)
    return np.asarray(image.reduce(SCALE))


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=LETTER_HEIGHT * SCALE)


@cache
def _ground(background: Background) -> npt.NDArray[np.uint8]:
    """Return the ground, [128, 128, 3]"""
    y, x = np.mgrid[: SIDE * SCALE, : SIDE * SCALE] // SCALE
    half = PERIOD // 2
    lit = {
        "plain": np.zeros_like(x, bool),
        "striped": (x + y) % PERIOD < half,
        "dotted": (x % PERIOD - half) ** 2 + (y % PERIOD - half) ** 2 <= 4,
        "checked": (x // PERIOD + y // PERIOD) % 2 == 0,
    }[background.texture]
    base = GROUNDS[background.colour]
    other = base - CONTRAST if base > 200 else base + CONTRAST
    grey = np.where(lit, other, base).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _circle(draw: Draw, mark: Mark, fill: tuple[int, ...]) -> None:
    draw.ellipse(_box(mark, 1), fill=fill)


def _ring(draw: Draw, mark: Mark, fill: tuple[int, ...]) -> None:
    draw.ellipse(_box(mark, 1), outline=fill, width=max(3, SIZES[mark.size] * 4 // 10) * SCALE)


def _square(draw: Draw, mark: Mark, fill: tuple[int, ...]) -> None:
    draw.rectangle(_box(mark, 0.9), fill=fill)


def _cross(draw: Draw, mark: Mark, fill: tuple[int, ...]) -> None:
    left, top, right, bottom = _box(mark, 1)
    arm = (right - left) / 3
    draw.rectangle((left + arm, top, right - arm, bottom), fill=fill)
    draw.rectangle((left, top + arm, right, bottom - arm), fill=fill)


def _triangle(draw: Draw, mark: Mark, fill: tuple[int, ...]) -> None:
    draw.polygon(_corners(mark, [1.1] * 3, drop=0.2), fill=fill)


def _star(draw: Draw, mark: Mark, fill: tuple[int, ...]) -> None:
    draw.polygon(_corners(mark, [1.1, 0.45] * 5), fill=fill)


_SHAPES: dict[str, Callable[[Draw, Mark, tuple[int, ...]], None]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
}


def _box(mark: Mark, reach: float) -> tuple[float, float, float, float]:
    radius = SIZES[mark.size] * reach
    sides = (mark.x - radius, mark.y - radius, mark.x + radius, mark.y + radius)
    left, top, right, bottom = (side * SCALE for side in sides)
    return left, top, right, bottom


def _corners(mark: Mark, reaches: list[float], drop: float = 0) -> Points:
    """Return corners at equal angles from the top, each at its share of the radius; all of it
    `drop` lower.
    """
    radius, n = SIZES[mark.size] * SCALE, len(reaches)
    x, y = mark.x * SCALE, mark.y * SCALE + drop * radius
    return [
        (
            x + reach * radius * math.sin(2 * math.pi * i / n),
            y - reach * radius * math.cos(2 * math.pi * i / n),
        )
        for i, reach in enumerate(reaches)
    ]
