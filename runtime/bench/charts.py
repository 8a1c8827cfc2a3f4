"""Charts of a benchmark: latency against MACs, throughput against batch, the mixture."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.bench.peers import PEERS
from runtime.bench.spec import label
from runtime.errors import EnvironmentMismatch

Document = Mapping[str, Any]
LATENCY, THROUGHPUT, MIXTURE = "latency.png", "throughput.png", "mixture.png"
OURS = "this bundle"  # where there is one engine, names do not say it
_SIZE, _DPI = (6.4, 4.2), 120


def check() -> None:
    """Find out before measuring whether charts can be drawn. Raises `EnvironmentMismatch`."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise EnvironmentMismatch(
            "matplotlib is not installed, and it draws the charts: install `aptp[bench]`, or add --no-charts"
        ) from error


def draw(document: Document) -> dict[str, bytes]:
    """Draw the charts that there are numbers for, as PNG by file name. Raises `EnvironmentMismatch`."""
    check()
    figures = {
        LATENCY: _latency(document),
        THROUGHPUT: _throughput(document),
        MIXTURE: _mixture(document["mixture"]),
    }
    return {name: _png(figure) for name, figure in figures.items() if figure is not None}


def _png(figure: Any) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=_DPI)
    return data.getvalue()


def _figure(columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_SIZE[0] * (1 if columns == 1 else 1.6), _SIZE[1]), layout="constrained")
    return figure, figure.subplots(1, columns)


def _steps(document: Document) -> list[Document]:
    return [one for one in document["comparisons"] if one["level"] == "step"]


def _latency(document: Document) -> Any:
    """Draw every contender at the first number of rows, whiskers from the fastest sample to the slowest."""
    steps = _steps(document)
    shown = {
        entry["name"]: entry
        for comparison in steps
        if comparison["rows"] == steps[0]["rows"]
        for entry in comparison["entries"]
        if entry["summary"] and entry["macs"]
    }
    if not shown:
        return None
    figure, axes = _figure()
    groups: dict[str, list[Document]] = {}
    for name, entry in shown.items():
        groups.setdefault(name if name in PEERS else name.partition(" on ")[2] or OURS, []).append(entry)
    for index, (name, entries) in enumerate(groups.items()):
        _group(axes, f"C{index}", name, entries)
    axes.set(xlabel="GMACs of a UNet call", ylabel="milliseconds, median", xlim=(0, None), ylim=(0, None))
    axes.set_title(f"One UNet call, rows: {steps[0]['rows']}; dotted: in proportion to MACs", fontsize=10)
    axes.legend(fontsize=8, loc="upper left")
    return figure


def _group(axes: Any, colour: str, name: str, entries: Sequence[Document]) -> None:
    """Draw the experts of one engine, with the line that they would lie on if only MACs counted; or
    a peer.
    """
    macs = np.array([entry["macs"] / 1e9 for entry in entries])
    low, middle, high = (
        1e3 * np.array([entry["summary"][key] for entry in entries]) for key in ("low", "p50", "high")
    )
    whiskers, mark = [middle - low, high - middle], "D" if name in PEERS else "o"
    axes.errorbar(macs, middle, whiskers, fmt=mark, color=colour, capsize=3, label=name)
    if name not in PEERS:
        most = float(macs.max())
        axes.plot([0, most], [0, most * middle[0] / macs[0]], ":", color=colour, linewidth=1)


def _throughput(document: Document) -> Any:
    curves: dict[str, dict[int, float]] = {}
    for comparison in _steps(document):
        for entry in comparison["entries"]:
            if entry["summary"]:
                curves.setdefault(entry["name"], {})[comparison["rows"]] = entry["per_second"]
    if not any(len(points) > 1 for points in curves.values()):
        return None
    figure, axes = _figure()
    for name, points in curves.items():
        axes.plot(list(points), list(points.values()), marker="o", label=name)
    axes.set_xscale("log", base=2)
    axes.set(xlabel="rows of a UNet call", ylabel="rows per second", ylim=(0, None), title="Throughput")
    axes.legend(fontsize=8, loc="upper left")
    return figure


def _mixture(mixture: Document | None) -> Any:
    if not mixture or "summary" not in mixture:
        return None
    figure, (left, right) = _figure(2)
    arms = {"each on its expert": mixture["mixed"], f"all on {label(mixture['control'])}": mixture["alone"]}
    for name, passes in arms.items():
        rates = [len(one["latencies"]) / one["seconds"] for one in passes]
        left.plot(range(1, len(rates) + 1), rates, marker="o", label=name)
        latencies = np.sort([latency for one in passes for latency in one["latencies"]])
        right.step(latencies, np.arange(1, len(latencies) + 1) / len(latencies), where="post")
        left.set_xticks(range(1, len(rates) + 1))
    left.set(xlabel="pass", ylabel="images per second", ylim=(0, None), title="Throughput, in turns")
    right.set(xlabel="seconds from taken to pixels", ylabel="share of images", title="Latency")
    right.set(xlim=(0, None), ylim=(0, 1.02))
    left.legend(fontsize=8, loc="lower left")
    return figure
