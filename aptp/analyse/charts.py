"""Plots of the report as SVG: histograms over each other, and a map of prompts.

Their colours come from the page (`currentColor` and the CSS variables they are given), so that they are
right in the dark, in the light and in print.
"""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from aptp.analyse.landing import Floats

WIDTH, HEIGHT, FOOT, SIDE = 420, 150, 24, 8
MAP = 300  # height of the map of prompts
BINS = 60
DOTS = 1500  # of one set of prompts, at most
# Colours that can be read on white and on black: of codes, from the cheapest to the dearest, and of sets of
# prompts from elsewhere.
RAMP = ("#d99a1f", "#d5604c", "#9d55a8", "#4a6fd0")
OTHERS = ("#12a594", "#7a8594", "#b0793b")


def code_colours(costs: Sequence[float]) -> list[str]:
    """Return a hexadecimal colour for each code, by the rank of its cost."""
    ranks = np.argsort(np.argsort(costs, kind="stable"), kind="stable")
    places = ranks / max(1, len(costs) - 1) * (len(RAMP) - 1)
    channels = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in RAMP])
    mixed = [np.interp(places, range(len(RAMP)), channels[:, i]).round().astype(int) for i in range(3)]
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in zip(*mixed, strict=True)]


def histograms(
    sets: Sequence[tuple[str, Floats]], label: str, *, limit: float | None = None, top: float | None = None
) -> Markup:
    """Return each set, a (colour, finite values [N]) pair, as an outline of the same area.

    `limit` is marked; values above `top` are counted in the last bin, and the axis says so.
    """
    low = min(float(values.min()) for _, values in sets)
    high = top if top is not None else max(float(values.max()) for _, values in sets)
    low, high = (0.0 if 0 <= low < 0.3 * high else low), max(high, low + 1e-9)
    edges = np.linspace(low, high, BINS + 1)
    shares = [np.histogram(np.clip(values, low, high), edges)[0] / len(values) for _, values in sets]
    tallest = max(float(share.max()) for share in shares)

    def across(value: float) -> float:
        return SIDE + (value - low) / (high - low) * (WIDTH - 2 * SIDE)

    base = HEIGHT - FOOT
    parts = [f'<path class="axis" d="M{SIDE} {base}H{WIDTH - SIDE}"/>']
    for (colour, _), share in zip(sets, shares, strict=True):
        tops = base - share / tallest * (base - 14)
        steps = "".join(f"V{y:.1f}H{across(x):.1f}" for y, x in zip(tops, edges[1:], strict=True))
        parts.append(
            f'<path style="fill:{colour};stroke:{colour}" class="hist" d="M{SIDE} {base}{steps}V{base}"/>'
        )
    if limit is not None and low <= limit <= high:
        x = across(limit)
        parts.append(f'<path class="limit" d="M{x:.1f} 4V{base}"/>')
        parts.append(f'<text class="tick" x="{x + 4:.1f}" y="12">limit {limit:.2f}</text>')
    for value in _ticks(low, high):
        parts.append(f'<text class="tick mid" x="{across(value):.1f}" y="{base + 12}">{value:g}</text>')
    more = any((values > high).any() for _, values in sets)
    if more:
        parts.append(f'<text class="tick end" x="{WIDTH - SIDE}" y="{base - 4}">and more</text>')
    return _figure("".join(parts), WIDTH, HEIGHT, label)


def landscape(sets: Sequence[tuple[Floats, Sequence[str]]], label: str) -> Markup:
    """Plot prompts as dots.

    Each set gives its `similarities` [N, K] and a colour for each prompt; the first says which two directions
    are shown, and lies below the others.
    """
    axes, _ = directions(sets[0][0])
    places = [relative(similarities) @ axes.T for similarities, _ in sets]
    low, high = np.quantile(np.concatenate(places), (0.002, 0.998), axis=0)
    size = np.array([WIDTH - 2 * SIDE, MAP - 2 * SIDE])
    scale = size / np.maximum(high - low, 1e-12)
    parts = []
    for i, (place, (_, colours)) in enumerate(zip(places, sets, strict=True)):
        spots = SIDE + (np.clip(place, low, high) - low) * scale
        stride, dots = max(1, len(place) // DOTS), dict[str, list[str]]()
        for (x, y), colour in list(zip(spots, colours, strict=True))[::stride]:
            dots.setdefault(colour, []).append(f"M{x:.1f} {MAP - y:.1f}h0")
        look = "dots far" if i else "dots"
        parts += [f'<path class="{look}" style="stroke:{c}" d="{"".join(d)}"/>' for c, d in dots.items()]
    return _figure("".join(parts), WIDTH, MAP, label)


def relative(similarities: Floats) -> Floats:
    """Return `similarities` [N, K] without each prompt's mean: the part that decides between codes."""
    apart: Floats = similarities - similarities.mean(1, keepdims=True)
    return apart


def directions(similarities: Floats) -> tuple[Floats, float]:
    """Return the two directions [2, K] in which prompts differ most from each other where it matters to their
    code, and the share of the variance that those hold.
    """
    apart = relative(similarities)
    _, sizes, axes = np.linalg.svd(apart - apart.mean(0), full_matrices=False)
    two = np.zeros((2, similarities.shape[1]))
    two[: min(2, len(axes))] = axes[:2]
    power = sizes**2
    return two, float(power[:2].sum() / power.sum()) if power.any() else 1.0


def _figure(content: str, width: int, height: int, label: str) -> Markup:
    return Markup(
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
        f"{content}</svg>"
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return four to nine round values between `low` and `high`."""
    step = 10.0 ** np.floor(np.log10(high - low))
    for finer in (2, 2.5, 2):
        if (high - low) / step >= 4:
            break
        step /= finer
    first = np.ceil(low / step)
    return [float(f"{value:.6g}") for value in np.arange(first, np.floor(high / step) + 1) * step]
