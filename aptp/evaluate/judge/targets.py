"""Training targets of the judge, from the layouts that pictures were drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from aptp.data.scenes.compose import Layout
from aptp.data.scenes.letters import ends
from aptp.data.scenes.vocabulary import COLOURS, GROUNDS, LETTERS, ROWS, SHAPES, SIDE, SIZES, TEXTURES
from aptp.evaluate.judge.network import BLANK, CELL, GRID, READS

SPREAD = 4.0  # pixels: a centre between cells has to stay above one half in the nearest of them
NEAR = 0.5  # cells this close to a centre, on the same scale, are asked about the thing
ON, BESIDE = 1.5, 2.0  # pixels from a letter's centre: columns this near read it; these may read it or not
IGNORED = -100  # the class that torch's cross entropy leaves out


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets by question: indices into the vocabulary, IGNORED where a question does not apply."""

    centre: Tensor  # [B, 16, 16] in 0 … 1: a bump around each centre
    things: dict[str, Tensor]  # [B, 16, 16] int64 each
    letters: Tensor  # [B, 64] int64, by column: the letter whose centre is there, BLANK where none is near
    written: Tensor  # [B] bool: whether there is a word
    word: dict[str, Tensor]  # [B] int64 each
    ground: dict[str, Tensor]  # [B] int64 each


def targets(layouts: Sequence[Layout]) -> Targets:
    """Return the answers for a batch of layouts."""
    cells = [_cells(layout) for layout in layouts]
    things = torch.stack([classes for _, classes in cells])  # [B, 3, 16, 16]
    words = [_word(layout) for layout in layouts]
    grounds = [
        (list(GROUNDS).index(layout.background.colour), TEXTURES.index(layout.background.texture))
        for layout in layouts
    ]
    return Targets(
        torch.stack([bump for bump, _ in cells]),
        dict(zip(("shape", "colour", "size"), things.unbind(1), strict=True)),
        torch.stack([_columns(layout.word, layout.x) for layout in layouts]),
        torch.tensor([bool(layout.word) for layout in layouts]),
        dict(zip(("colour", "row"), torch.tensor(words).unbind(1), strict=True)),
        dict(zip(("colour", "texture"), torch.tensor(grounds).unbind(1), strict=True)),
    )


def row_of(y: float) -> int:
    """Return which of ROWS a height in pixels lies in."""
    return min(max(int(y / SIDE * len(ROWS)), 0), len(ROWS) - 1)


def _cells(layout: Layout) -> tuple[Tensor, Tensor]:
    """Return the bumps [16, 16], and [3, 16, 16]: shape, colour and size of the thing each cell is
    near to.
    """
    middles = (torch.arange(GRID) + 0.5) * CELL
    bump = torch.zeros(GRID, GRID)
    classes = torch.full((3, GRID, GRID), IGNORED)
    for mark in layout.marks:
        distance = (middles[:, None] - mark.y) ** 2 + (middles[None, :] - mark.x) ** 2  # [16, 16]
        own = torch.exp(-distance / (2 * SPREAD**2))
        what = [
            SHAPES.index(mark.shape),
            list(COLOURS).index(mark.colour),
            list(SIZES).index(mark.size),
        ]
        classes = torch.where(own > torch.clamp(bump, min=NEAR), torch.tensor(what)[:, None, None], classes)
        bump = torch.maximum(bump, own)
    return bump, classes


def _word(layout: Layout) -> tuple[int, int]:
    """Return the word's colour and row."""
    if not layout.word:
        return IGNORED, IGNORED
    return list(COLOURS).index(layout.colour), row_of(layout.y)


def _columns(word: str, x: float) -> Tensor:
    """Return [64]: letters by the columns that their centres lie in, if the word's centre is at `x`."""
    width = CELL / READS  # pixels
    middles = (torch.arange(GRID * READS) + 0.5) * width
    columns = torch.full_like(middles, BLANK, dtype=torch.int64)
    centres = [x + (left + right - ends(word)[-1]) / 2 for left, right in pairwise(ends(word))]
    for reach in (BESIDE, ON):
        for letter, centre in zip(word, centres, strict=True):
            columns[(middles - centre).abs() < reach] = LETTERS.index(letter) if reach == ON else IGNORED
    return columns
