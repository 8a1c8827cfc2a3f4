"""The pictures: what closed heads save, and when to mask and when to slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from bench.kernels.crossover import GROUPED, MASKED, Mixture

Curves = Mapping[str, Sequence[tuple[float, float]]]  # of each shape: live fraction, time over its own dense


def draw_live_fractions(path: Path, curves: Curves, title: str) -> None:
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle=":", label="free of cost when closed")
    for name, points in curves.items():
        fractions, times = zip(*sorted(points), strict=True)
        axes.plot(fractions, times, marker="o", label=name)
    axes.set(
        xlabel="live heads", ylabel="time, of all heads live", title=title, xlim=(0, 1.02), ylim=(0, None)
    )
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_crossover(path: Path, mixtures: Sequence[Mixture], title: str) -> None:
    counts = sorted({mixture.codes for mixture in mixtures})
    figure, row = pyplot.subplots(
        1, len(counts), figsize=(4 * len(counts), 4), sharey=True, layout="constrained", squeeze=False
    )
    for axes, codes in zip(row[0], counts, strict=True):
        chosen = sorted((m for m in mixtures if m.codes == codes), key=lambda mixture: mixture.batch)
        batches = [mixture.batch for mixture in chosen]
        for name in (MASKED, GROUPED):
            times = [1e3 * mixture.times[name].seconds / mixture.batch for mixture in chosen]
            axes.plot(batches, times, marker="o", label=name)
        best = [1e3 * mixture.best / mixture.batch for mixture in chosen]
        axes.plot(batches, best, color="black", linestyle=":", label="best possible")
        axes.set_xscale("log", base=2)
        axes.set(xlabel="batch", title=f"{codes} code{'s' * (codes > 1)} in the batch", ylim=(0, None))
    row[0][0].set_ylabel("ms per sample and UNet call")
    row[0][0].legend(fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
