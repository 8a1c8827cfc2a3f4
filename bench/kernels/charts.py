"""Charts of curves in panels side by side."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

Curves = dict[str, list[tuple[float, float | None]]]  # None: it did not run
Panels = dict[str, Curves]
LIVE_HEADS, BATCH = "live heads", "batch"  # what the x axis may be


def draw_panels(path: Path, panels: Mapping[str, Curves], title: str, x: str, y: str) -> None:
    """Draw panels, each with the curves of its heading; against live heads also a line for closed heads that
    cost nothing.
    """
    if not panels:
        return
    figure, row = pyplot.subplots(
        1, len(panels), figsize=(4.5 * len(panels), 4), layout="constrained", squeeze=False
    )
    for axes, (heading, curves) in zip(row[0], panels.items(), strict=True):
        if x == LIVE_HEADS:
            axes.plot([0, 1], [0, 1], color="black", linestyle=":", label="closed heads are free")
        else:
            axes.set_xscale("log", base=2)
        for name, points in curves.items():
            ran = sorted((at, value) for at, value in points if value is not None)
            if ran:
                axes.plot(*zip(*ran, strict=True), marker="o", label=name)
        axes.set(xlabel=x, title=heading, ylim=(0, None))
        axes.legend(fontsize=7)
    row[0][0].set_ylabel(y)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
