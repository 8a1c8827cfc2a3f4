"""The attention part: every shape of SD 2.1 at every batch, forward and backward, in tables and charts."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bench.kernels import charts
from bench.kernels.contenders import (
    BACKENDS,
    KERNEL,
    SKIPPING,
    STRAIGHT_THROUGH,
    Inputs,
    at,
    contenders,
    errors,
    live_heads,
)
from bench.kernels.shapes import Ceiling, Shape, attentions
from bench.kernels.timing import Timing, in_turns
from bench.report import spread
from kernels.attention.tiles import entry

FRACTIONS = (1.0, 0.75, 0.5, 0.25)
MANY_WAVES = 8  # from here on closed heads must cost next to nothing
COMPILED = {
    Shape(4096, 4096, 5, 64),
    Shape(1024, 1024, 10, 64),
    Shape(9216, 9216, 5, 64),
    Shape(2304, 2304, 10, 64),
}
COMPILED_BATCHES = (1, 4, 16)  # compiling takes minutes

LIVE, SPEED = "kernels.live.png", "kernels.speed.png"
COLUMNS = ("time", "TFLOP/s", "of peak", "MiB", "of floor", "to best SDPA", "CPU, µs", "first call, s")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One shape in one direction, on every contender in turns."""

    size: int
    shape: Shape
    batch: int
    backward: bool
    timed: dict[str, Timing | str]

    @property
    def direction(self) -> str:
        return f"{'Backward' if self.backward else 'Forward'} at {self.size} pixels"

    def best_backend(self) -> str | None:
        ran = {name: self.timed[name] for name in BACKENDS if isinstance(self.timed.get(name), Timing)}
        return min(ran, key=lambda name: ran[name].seconds, default=None)  # type: ignore[union-attr]

    def ratio(self, name: str, other: str) -> float | None:
        """Return the median ratio of samples that are neighbours in time; None where one of them did not
        run.
        """
        one, two = self.timed[name], self.timed[other]
        return median(one.ratios(two)) if isinstance(one, Timing) and isinstance(two, Timing) else None

    def speed(self, name: str, live: float) -> float | None:
        """Return operations per second of live heads' products."""
        found = self.timed.get(name)
        if not isinstance(found, Timing):
            return None
        return self.shape.operations(self.batch, live, backward=self.backward) / found.seconds


def parity(sizes: Sequence[int]) -> list[Row]:
    """Check every shape against the reference before the first is timed."""
    return [
        {"shape": str(shape)}
        | {name: f"{error:.1e}" for name, error in errors(Inputs.draw(shape, 2)).items()}
        for size in sizes
        for shape in sorted(attentions(size), reverse=True)
    ]


def measured(sizes: Sequence[int], batches: Sequence[int], cached: int) -> Iterator[Case]:
    for size in sizes:
        for shape in sorted(attentions(size), reverse=True):
            for batch in batches:
                sets = Inputs.sets(shape, batch, cached)
                for backward in (False, True):
                    torch._dynamo.reset()  # or closures of the same code count as recompilations
                    compiled = batch in COMPILED_BATCHES and shape in COMPILED
                    works = contenders(sets, FRACTIONS, backward=backward, compiled=compiled)
                    yield Case(size, shape, batch, backward, in_turns(works))


def tables(
    cases: Sequence[Case], ceiling: Ceiling, capability: tuple[int, int], places: int
) -> dict[str, list[Row]]:
    """Return the tables. `places`: programs of the forward kernel that run at once."""
    found: dict[str, list[Row]] = {
        "Ceilings of this GPU": [
            {
                "matrix product, TFLOP/s": f"{ceiling.operations / 1e12:.0f}",
                "copy, TB/s": f"{ceiling.bytes / 1e12:.2f}",
                "a kernel that does nothing, µs": f"{ceiling.launch * 1e6:.1f}",
            }
        ]
    }
    for case in cases:
        found.setdefault(case.direction, []).extend(rows_of(case, ceiling, capability))
    if saved := savings(cases, capability, places):
        found["What closed heads save"] = saved
    return found


def rows_of(case: Case, ceiling: Ceiling, capability: tuple[int, int]) -> Iterator[Row]:
    """Yield a row for each contender."""
    heads = case.batch * case.shape.heads
    fractions = {at(what, f): live_heads(heads, f) / heads for what in SKIPPING for f in FRACTIONS}
    fractions[STRAIGHT_THROUGH] = live_heads(heads, 0.5) / heads
    best = case.best_backend()
    block = None if case.backward else entry("forward", case.shape.width, torch.bfloat16, capability).queries
    for name, found in case.timed.items():
        live = fractions.get(name, 1.0)
        row: Row = {"shape": str(case.shape), "batch": case.batch, "what": name}
        if isinstance(found, str):
            yield {**row, **dict.fromkeys(COLUMNS, "-"), "time": found}
            continue
        speed = case.speed(name, live) or 0.0
        floor = ceiling.floor(case.shape, case.batch, live, backward=case.backward, block=block)
        values = (
            spread(found.samples),
            f"{speed / 1e12:.0f}",
            f"{speed / ceiling.operations:.0%}",
            f"{case.shape.traffic(case.batch, live, backward=case.backward) / 2**20:.1f}",
            f"{floor / found.seconds:.0%}",
            f"{case.ratio(name, best):.2f}" if best else "-",
            f"{1e6 * found.host:.0f}",
            f"{found.first:.1f}",
        )
        yield {**row, **dict(zip(COLUMNS, values, strict=True))}


def waves(shape: Shape, batch: int, capability: tuple[int, int], places: int) -> float:
    """Return the waves of programs of the forward pass with all heads live."""
    tile = entry("forward", shape.width, torch.bfloat16, capability)
    return -(-shape.queries // tile.queries) * shape.heads * batch / places


def savings(cases: Sequence[Case], capability: tuple[int, int], places: int) -> list[Row]:
    """Time over the kernel's own for all heads, which should be the live fraction."""
    rows = []
    for case in cases:
        ratios = {f: case.ratio(at(KERNEL, f), at(KERNEL, 1.0)) for f in FRACTIONS[1:]}
        known = {f: ratio for f, ratio in ratios.items() if ratio is not None}
        if case.shape.queries == case.shape.keys and not case.backward and len(known) == len(ratios):
            count = waves(case.shape, case.batch, capability, places)
            heads = case.batch * case.shape.heads
            held = all(ratio <= live_heads(heads, f) / heads + 0.08 for f, ratio in known.items())
            verdict = "few waves" if count < MANY_WAVES else "yes" if held else "no"
            row = {"shape": str(case.shape), "batch": case.batch, "waves": f"{count:.1f}"}
            row |= {f"{f:.0%} live": f"{ratio:.2f}" for f, ratio in known.items()}
            rows.append({**row, "within 0.08": verdict})
    return rows


def chart(cases: Sequence[Case], folder: Path, title: str) -> tuple[str, ...]:
    """Return the pictures' names. A panel per direction and size: time against live heads in the largest
    batch, and speed against batch in the largest attention.
    """
    live: charts.Panels = {}
    speed: charts.Panels = {}
    for case in cases:
        if case.shape.queries != case.shape.keys:
            continue
        if case.batch == max(other.batch for other in cases):
            points = [(f, case.ratio(at(KERNEL, f), at(KERNEL, 1.0))) for f in FRACTIONS]
            live.setdefault(case.direction, {})[f"{case.shape.queries} tokens, batch {case.batch}"] = points
        if case.shape == max(other.shape for other in cases if other.size == case.size):
            panel = speed.setdefault(case.direction, {})
            for name in case.timed:
                if name in BACKENDS or name == "torch.compile" or name in (at(x, 1.0) for x in SKIPPING):
                    found = case.speed(name, 1.0)
                    panel.setdefault(name, []).append((case.batch, found and found / 1e12))
    charts.draw_panels(folder / LIVE, live, title, charts.LIVE_HEADS, "time, of all heads live")
    charts.draw_panels(folder / SPEED, speed, title, charts.BATCH, "TFLOP/s, largest self-attention")
    return LIVE, SPEED


def raw(case: Case) -> dict[str, Any]:
    timed = {name: asdict(x) if isinstance(x, Timing) else x for name, x in case.timed.items()}
    return {**asdict(case), "timed": timed}
