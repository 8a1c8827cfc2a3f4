"""Plots of a run's record: every figure over the steps, raw and smoothed."""

from pathlib import Path
from typing import Any

import numpy as np

from aptp.trainer import metrics_log

NAME = "curves.png"
UNPLOTTED = ("step", "seconds", "waiting")
WINDOW = 0.02  # share of the run that smoothing spans
COLUMNS = 3


def draw(folder: Path) -> Path:
    """Write `curves.png` beside the record in `folder`, and return its path."""
    from matplotlib.figure import Figure

    lines = metrics_log.read(folder)
    names = list(dict.fromkeys(name for line in lines for name in line if name not in UNPLOTTED))
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(4.2 * COLUMNS, 2.8 * rows), layout="constrained")
    for axes, name in zip(figure.subplots(rows, COLUMNS, squeeze=False).flat, names, strict=False):
        _curve(axes, name, [(line["step"], line[name]) for line in lines if name in line])
    for axes in figure.axes[len(names) :]:
        axes.remove()
    figure.savefig(folder / NAME, dpi=110)
    return folder / NAME


def _curve(axes: Any, name: str, points: list[tuple[int, float]]) -> None:
    steps, values = np.array(points).T
    axes.plot(steps, values, color="0.8", linewidth=0.6)
    width = max(1, round(WINDOW * len(values)))
    if width > 1:
        smooth = np.convolve(values, np.ones(width) / width, "valid")
        axes.plot(steps[width - 1 :], smooth, color="C0", linewidth=1.4)
    axes.set_title(name, fontsize=10)
    axes.set_xlabel("step", fontsize=8)
    axes.tick_params(labelsize=8)
    low, high = np.quantile(values, [0.0, 0.98])
    if high > low:  # so that the first steps do not flatten all others
        axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
