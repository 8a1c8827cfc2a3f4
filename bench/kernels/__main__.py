"""What the attention kernel is worth, how fast it is, and when to mask and when to slice.

    TRITON_INTERPRET=0 python -m bench.kernels [--parts attention crossover]

Needs an NVIDIA GPU. SD 2.1's attentions at 512 and 768 pixels, bfloat16. Samples are taken in turns; a
first call, which compiles, is reported and not among them. TFLOP/s count the products an algorithm cannot do
without (2 forward, 5 backward) of live heads; the peak is that of a large matrix product on this GPU, and the
floor the longer of all operations at that peak and all bytes at the rate of a large copy. Waves assume two
programs on a multiprocessor.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch

from bench.kernels.contenders import BACKENDS, Inputs, contenders, error, live_heads, ours
from bench.kernels.shapes import Ceiling, Shape, attentions
from bench.kernels.timing import Timed, ceilings, in_turns
from bench.report import RESULTS, save, spread
from kernels.attention.tiles import entry

PARTS = ("attention", "crossover")
SIZES = (512, 768)
BATCHES = (1, 4, 16)
FRACTIONS = (1.0, 0.75, 0.5, 0.25)
MANY_WAVES = 8  # from here on closed heads must cost next to nothing
COMPILED = {Shape(4096, 4096, 5, 64), Shape(1024, 1024, 10, 64)}  # at batch 4: compiling takes minutes

LIVE, CROSSOVER = "kernels.live.png", "kernels.crossover.png"

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One shape in one direction: every contender in turns."""

    size: int
    shape: Shape
    batch: int
    backward: bool
    timed: dict[str, Timed | str]

    def best_backend(self) -> str | None:
        ran = {name: self.timed[name] for name in BACKENDS if isinstance(self.timed.get(name), Timed)}
        return min(ran, key=lambda name: ran[name].seconds, default=None)  # type: ignore[union-attr]

    def ratio(self, name: str, other: str) -> float:
        """Of samples that are neighbours in time."""
        pair = (self.timed[name], self.timed[other])
        one, two = (found.samples for found in pair if isinstance(found, Timed))
        return median(a / b for a, b in zip(one, two, strict=True))


def worth() -> list[Row]:
    """Of every multiply-accumulate of the UNet, those in attention's products."""
    rows = []
    for size in SIZES:
        shapes, share = attentions("sd21", size)
        largest = max(shapes)
        each = (
            shapes[largest]
            * largest.operations(1, 1)
            / sum(count * shape.operations(1, 1) for shape, count in shapes.items())
        )
        row = {"pixels": size, "of all MACs": f"{share:.1%}", "largest": str(largest)}
        rows.append({**row, "the largest's share of that": f"{each:.0%}"})
    return rows


def errors() -> list[Row]:
    """No speed without parity: every shape is checked before the first is timed."""
    return [
        {"shape": str(shape), "relative error": f"{error(Inputs.draw(shape, 1)):.1e}"}
        for size in SIZES
        for shape in sorted(attentions("sd21", size)[0], reverse=True)
    ]


def measured() -> Iterator[Case]:
    for size in SIZES:
        for shape in sorted(attentions("sd21", size)[0], reverse=True):
            for batch in BATCHES:
                for backward in (False, True):
                    compiled = batch == 4 and shape in COMPILED
                    works = contenders(
                        Inputs.draw(shape, batch), FRACTIONS, backward=backward, compiled=compiled
                    )
                    yield Case(size, shape, batch, backward, in_turns(works))


def rows_of(case: Case, ceiling: Ceiling) -> Iterator[Row]:
    """A row for each contender."""
    heads = case.batch * case.shape.heads
    fractions = {ours(fraction): live_heads(heads, fraction) / heads for fraction in FRACTIONS}
    best = case.best_backend()
    for name, found in case.timed.items():
        live = fractions.get(name, 1.0)
        row: Row = {"shape": str(case.shape), "batch": case.batch, "what": name}
        if isinstance(found, str):
            yield {**row, "time": found, **dict.fromkeys(COLUMNS, "-")}
            continue
        operations = case.shape.operations(case.batch, live, backward=case.backward)
        floor = ceiling.floor(case.shape, case.batch, live, backward=case.backward)
        bytes_ = case.shape.traffic(case.batch, live, backward=case.backward)
        values = (
            f"{operations / found.seconds / 1e12:.0f}",
            f"{operations / found.seconds / ceiling.operations:.0%}",
            f"{bytes_ / 2**20:.1f}",
            f"{floor / found.seconds:.0%}",
            f"{case.ratio(name, best):.2f}" if best else "-",
            f"{found.first:.1f}",
        )
        yield {**row, "time": spread(found.samples), **dict(zip(COLUMNS, values, strict=True))}


COLUMNS = ("TFLOP/s", "of peak", "MiB", "of floor", "to best SDPA", "first call, s")


def waves(shape: Shape, batch: int, multiprocessors: int, capability: tuple[int, int]) -> float:
    """Of the forward pass with all heads live."""
    tile = entry("forward", shape.width, torch.bfloat16, capability)
    return -(-shape.queries // tile.queries) * shape.heads * batch / (2 * multiprocessors)


def savings(cases: list[Case], multiprocessors: int, capability: tuple[int, int]) -> list[Row]:
    """Time over the kernel's own for all heads, which should be the live fraction."""
    rows = []
    for case in cases:
        if case.shape.queries == case.shape.keys and not case.backward:
            count = waves(case.shape, case.batch, multiprocessors, capability)
            ratios = {f: case.ratio(ours(f), ours(1.0)) for f in FRACTIONS[1:]}
            heads = case.batch * case.shape.heads
            held = all(ratio <= live_heads(heads, f) / heads + 0.08 for f, ratio in ratios.items())
            verdict = "few waves" if count < MANY_WAVES else "yes" if held else "no"
            row = {"shape": str(case.shape), "batch": case.batch, "waves": f"{count:.1f}"}
            row |= {f"{f:.0%} live": f"{ratio:.2f}" for f, ratio in ratios.items()}
            rows.append({**row, "within 0.08": verdict})
    return rows


def attention(tables: dict[str, list[Row]], samples: dict[str, Any]) -> None:
    from bench.kernels.charts import draw_live_fractions

    properties = torch.cuda.get_device_properties(0)
    ceiling = Ceiling(*ceilings())
    tables["Ceilings of this GPU"] = [
        {
            "matrix product, TFLOP/s": f"{ceiling.operations / 1e12:.0f}",
            "copy, TB/s": f"{ceiling.bytes / 1e12:.2f}",
        }
    ]
    tables["Error in bfloat16 against float32"] = errors()
    cases = list(measured())
    for size in SIZES:
        for direction in (False, True):
            chosen = [case for case in cases if (case.size, case.backward) == (size, direction)]
            heading = f"{'Backward' if direction else 'Forward'} at {size} pixels"
            tables[heading] = [row for case in chosen for row in rows_of(case, ceiling)]
    capability = (properties.major, properties.minor)
    tables["What closed heads save"] = savings(cases, properties.multi_processor_count, capability)
    samples["attention"] = [
        {**asdict(case), "timed": {name: _raw(found) for name, found in case.timed.items()}} for case in cases
    ]
    curves = {
        f"{case.shape.queries} tokens, batch {case.batch}": [
            (fraction, case.ratio(ours(fraction), ours(1.0))) for fraction in FRACTIONS
        ]
        for case in cases
        if case.shape.queries == case.shape.keys and not case.backward and case.batch == max(BATCHES)
    }
    draw_live_fractions(RESULTS / LIVE, curves, torch.cuda.get_device_name())


def crossover(tables: dict[str, list[Row]], samples: dict[str, Any]) -> None:
    from bench.kernels.charts import draw_crossover
    from bench.kernels.crossover import measure, table

    mixtures = list(measure())
    tables["A batch of mixed codes, whole UNet at 512 pixels"] = table(mixtures)
    samples["crossover"] = [asdict(mixture) for mixture in mixtures]
    draw_crossover(RESULTS / CROSSOVER, mixtures, torch.cuda.get_device_name())


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmarks of the attention kernel")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parts = parser.parse_args().parts
    if not torch.cuda.is_available():
        sys.exit("bench.kernels measures on an NVIDIA GPU, and torch finds none here")
    torch._functorch.config.donated_buffer = False  # backward passes are timed again and again
    RESULTS.mkdir(exist_ok=True)
    tables: dict[str, list[Row]] = {"What attention is worth in SD 2.1": worth()}
    samples: dict[str, Any] = {}
    if "attention" in parts:
        attention(tables, samples)
    if "crossover" in parts:
        crossover(tables, samples)
    pictures = [LIVE] * ("attention" in parts) + [CROSSOVER] * ("crossover" in parts)
    save("kernels", "The attention kernel", tables, samples, pictures)


def _raw(found: Timed | str) -> Any:
    return asdict(found) if isinstance(found, Timed) else found


if __name__ == "__main__":
    main()
