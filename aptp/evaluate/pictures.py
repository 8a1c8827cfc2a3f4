"""Pictures of an evaluation: samples with their verdicts, and a chart of where captions are routed."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from aptp.data.scenes.scene import TIERS
from aptp.evaluate.detections import Pictures
from aptp.evaluate.mixture import RoutedMixture
from aptp.evaluate.verdicts import Verdict

SHOWN = 8  # of each tier, or code
SHOWN_TALL = 192  # pixels
LINE = 13  # pixels between lines of text
LINES = 5
CHARACTERS = 30  # of a line under a picture
GAP = 8
Line = tuple[str, tuple[int, int, int]]  # and its colour
RIGHT, WRONG, TEXT = (20, 120, 40), (190, 30, 30), (40, 40, 40)


def grid(verdicts: Sequence[Verdict], pictures: Pictures) -> Image.Image:
    """Return the first pictures of each tier, a row each: caption below, then `shown` or what is not, and
    what was read instead.
    """
    rows = [[i for i, each in enumerate(verdicts) if each.scene.tier == tier][:SHOWN] for tier in TIERS]
    return _sheet([[(pictures[i], _lines(verdicts[i])) for i in row] for row in rows])


def gallery(captions: Sequence[str], codes: Sequence[int], pictures: Pictures) -> Image.Image:
    """Return the first pictures of each code's captions, a row each, with the caption below."""
    rows = [[i for i, each in enumerate(codes) if each == code][:SHOWN] for code in sorted(set(codes))]
    lines = [
        [(line, TEXT) for line in wrap(f"{code}: {text}", CHARACTERS)]
        for text, code in zip(captions, codes, strict=True)
    ]
    return _sheet([[(pictures[i], lines[i]) for i in row] for row in rows])


def _sheet(rows: Sequence[Sequence[tuple[npt.NDArray[np.uint8], Sequence[Line]]]]) -> Image.Image:
    """Return pictures [H, W, 3], all of one size, with the first lines of what is to be said of each below
    it.
    """
    tall, wide = rows[0][0][0].shape[:2]
    shown = (max(1, round(SHOWN_TALL * wide / tall)), SHOWN_TALL)
    filtered = Image.Resampling.NEAREST if tall < SHOWN_TALL else Image.Resampling.LANCZOS
    width, height = shown[0] + GAP, shown[1] + GAP + LINE * LINES
    sheet = Image.new("RGB", (max(map(len, rows)) * width + GAP, len(rows) * height + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=LINE - 2)
    for row, cells in enumerate(rows):
        for column, (picture, lines) in enumerate(cells):
            x, y = GAP + column * width, GAP + row * height
            sheet.paste(Image.fromarray(picture).resize(shown, filtered), (x, y))
            for i, (line, colour) in enumerate(lines[:LINES]):
                draw.text((x, y + shown[1] + LINE * i), line, colour, font)
    return sheet


def save_routes(mixture: RoutedMixture, path: Path) -> None:
    """Draw a bar per tier and per amount to draw, divided by code: the cheapest lowest and lightest. Above
    each stands its mean budget.
    """
    groups = {**mixture.by_tier, **mixture.by_things}
    counts = np.array(list(groups.values()))  # [G, K]
    shares = counts / counts.sum(1, keepdims=True)
    apart = len(mixture.by_tier) - 0.5
    places = np.arange(len(groups)) + 0.5 * (np.arange(len(groups)) > apart)
    figure = Figure(figsize=(1.1 * len(groups) + 2.5, 4), layout="constrained")
    axes = figure.add_subplot()
    below = np.zeros(len(groups))
    shades = colormaps["viridis_r"](np.linspace(0.1, 0.85, len(mixture.budgets)))
    for code, shade in zip(np.argsort(mixture.budgets), shades, strict=True):
        label = f"code {code}: {mixture.budgets[code]:.2f} of dense"
        axes.bar(places, shares[:, code], bottom=below, label=label, color=shade)
        below += shares[:, code]
    for place, budget in zip(places, shares @ np.array(mixture.budgets), strict=True):
        axes.text(place, 1.01, f"{budget:.2f}", ha="center", va="bottom")
    axes.set_xticks(places, list(groups))
    axes.set_ylabel("share of captions")
    axes.set_ylim(0, 1.08)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, dpi=120)


def _lines(verdict: Verdict) -> list[Line]:
    missing = [name for name, value in verdict.score.items() if value < 1 and name not in ("all", "both")]
    lines = [(line, TEXT) for line in wrap(verdict.sample.caption, CHARACTERS)]
    if verdict.score["all"]:
        return [*lines, ("shown", RIGHT)]
    fault = f"{_seen(verdict)}: not {', '.join(missing or ['alone'])}"
    return [*lines, *((line, WRONG) for line in wrap(fault, CHARACTERS))]


def _seen(verdict: Verdict) -> str:
    """Say in short what the judge reads."""
    reading = verdict.reading
    things = [f"{thing.colour} {thing.shape}" for thing in reading.detections]
    words = [f'"{reading.lettering.text}"'] if reading.lettering else []
    return " + ".join([*things, *words]) or "nothing"
