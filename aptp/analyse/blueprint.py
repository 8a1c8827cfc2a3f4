"""A picture of a pruned UNet: blocks from left to right, low resolutions low, a cell for every gate.

Kept gates are filled, dropped ones are not; a sublayer that is skipped is an outline. SVG that scales, whose
colours are those of the page around it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from aptp.space.architecture import Architecture
from aptp.space.groups import Kind, inside

COLUMN, GUTTER = 92, 24  # pixels
ROW, BETWEEN, APART = 11, 2, 6  # a bar, the gap inside a sublayer, the gap between sublayers
LEVEL = 20  # how much lower each deeper block lies
HEAD, MARGIN, BRIDGE = 18, 12, 5
NAMES = {
    Kind.RESNET: "groups of a resnet",
    Kind.SELF_ATTENTION: "heads of self-attention",
    Kind.CROSS_ATTENTION: "heads of cross-attention",
    Kind.FEED_FORWARD: "chunks of a feed-forward",
}
LETTERS = {
    Kind.RESNET: "r",
    Kind.SELF_ATTENTION: "s",
    Kind.CROSS_ATTENTION: "c",
    Kind.FEED_FORWARD: "f",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A width group of one code. `skipped`: the code skips the group's whole sublayer."""

    kind: Kind
    module: str
    keep: tuple[bool, ...]
    skipped: bool


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the UNet.

    `name`: such as "down 1"; `level`: 0 at the full resolution; sublayers in the order of the call.
    """

    name: str
    level: int
    sublayers: tuple[tuple[Bar, ...], ...]

    @property
    def height(self) -> int:
        bars = sum(len(sublayer) * (ROW + BETWEEN) - BETWEEN for sublayer in self.sublayers)
        return bars + APART * (len(self.sublayers) - 1)


def blocks(architecture: Architecture) -> list[Block]:
    """Return the UNet's blocks that can be pruned, from its input to its output."""
    sublayers: dict[str, list[Bar]] = {}
    for group, columns in architecture.space.columns():
        keep = tuple(architecture.keep[columns].tolist())
        skipped = any(inside(group.module, gone) for gone in architecture.dropped)
        sublayer = group.module.partition(".transformer_blocks.")[0]
        sublayers.setdefault(sublayer, []).append(Bar(group.kind, group.module, keep, skipped))
    by_block: dict[str, list[str]] = {}
    for name in sublayers:
        by_block.setdefault(_block(name), []).append(name)
    down, up = (sum(name.startswith(side) for name in by_block) for side in ("down", "up"))
    levels = {
        **{f"down_blocks.{i}": i for i in range(down)},
        "mid_block": down,
        **{f"up_blocks.{i}": up - 1 - i for i in range(up)},
    }
    return [
        Block(
            name.replace("_blocks.", " ").replace("mid_block", "mid"),
            levels.get(name, 0),
            tuple(tuple(sublayers[one]) for one in sorted(own, key=_turn)),
        )
        for name, own in by_block.items()
    ]


def picture(architecture: Architecture) -> Markup:
    """Return the picture, as SVG; filled with the CSS variable `--own`."""
    found = blocks(architecture)
    lefts = [MARGIN + i * (COLUMN + GUTTER) for i in range(len(found))]
    places = [(left, HEAD + block.level * LEVEL) for left, block in zip(lefts, found, strict=True)]
    width = MARGIN * 2 + len(found) * (COLUMN + GUTTER) - GUTTER
    height = max(top + block.height for (_, top), block in zip(places, found, strict=True)) + MARGIN
    parts = [*_bridges(found, places)]
    for block, (left, top) in zip(found, places, strict=True):
        parts.append(f'<text class="block" x="{left}" y="{top - 6}">{escape(block.name)}</text>')
        y = top
        for sublayer in block.sublayers:
            for bar in sublayer:
                parts.append(_bar(bar, left, y))
                y += ROW + BETWEEN
            y += APART - BETWEEN
    return Markup(
        f'<svg class="unet" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="What the code keeps of every layer">{"".join(parts)}</svg>'
    )


def _bridges(found: Sequence[Block], places: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Yield the skip connections: a line from each down block to the up block of its resolution."""
    for i, block in enumerate(found):
        for j in range(len(found) - 1, i + 1, -1):
            if found[j].level == block.level and block.name.startswith("down") and found[j].name[:2] == "up":
                (left, top), (right, _) = places[i], places[j]
                y = top - BRIDGE + 2
                yield f'<path class="skip" d="M{left + COLUMN + 4} {y}H{right - 4}"/>'


def _bar(bar: Bar, left: int, top: int) -> str:
    kept, count = sum(bar.keep), len(bar.keep)
    told = f"{bar.module}: " + ("skipped" if bar.skipped else f"{kept} of {count} {NAMES[bar.kind]}")
    letter, look = LETTERS[bar.kind], "gone" if bar.skipped else "bar"
    drawn = f'<rect class="{look}" x="{left}" y="{top}" width="{COLUMN}" height="{ROW}"/>'
    drawn += f'<text class="letter" x="{left - 4}" y="{top + ROW - 3}">{letter}</text>'
    if not bar.skipped:
        drawn += f'<path class="kept {letter}" d="{_cells(bar.keep, left, top)}"/>'
    return f"<g><title>{escape(told)}</title>{drawn}</g>"


def _cells(keep: Sequence[bool], left: int, top: int) -> str:
    """Return a rectangle for each run of kept gates; wide cells stand apart from each other."""
    step = COLUMN / len(keep)
    gap = 0.6 if step < 6 else 1.0
    drawn = []
    for i, kept in enumerate(keep):
        if kept:
            drawn.append(f"M{left + i * step:.2f} {top}h{step - gap:.2f}v{ROW}h{gap - step:.2f}z")
    return "".join(drawn)


def _block(module: str) -> str:
    found = re.match(r"(?:down|up)_blocks\.\d+|mid_block", module)
    return found[0] if found else module.split(".")[0]


def _turn(sublayer: str) -> tuple[int, bool]:
    """Return the sublayer's place in its block's call: first resnet, first transformer, second resnet, …"""
    return int(sublayer.rpartition(".")[2]), "resnets" not in sublayer
