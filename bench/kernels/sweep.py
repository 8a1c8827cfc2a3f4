"""Timing of other blocks beside the table's; prints the table as measured, for `kernels/attention/tiles.py`.

    python -m bench.kernels.sweep --widths 64 [--kernels forward dk_dv dq] [--out DIR]

Needs an NVIDIA GPU; about 50 blocks per kernel and head dim, bfloat16, compiled one after the other. A block
of the backward is timed within the whole backward pass, the other kernels as the table has them. `bulk` is
the forward kernel over tensor descriptors (`bulk.py`). Blocks that compute something else, or do not fit, are
listed with what is wrong. What torch has compiled keeps the blocks it was traced with, in its cache on disk
as well: after a change of the table, set TORCHINDUCTOR_FORCE_DISABLE_CACHES=1 once.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from bench.kernels.bulk import attend_bulk
from bench.kernels.contenders import Inputs, live_gates
from bench.kernels.shapes import Shape
from bench.kernels.timing import KernelWork, Timing, in_turns
from bench.report import RESULTS, spread, write
from kernels.attention import tiles
from kernels.attention.op import gated_attention
from kernels.attention.tiles import HEAD_DIMS, KERNELS, Tile
from runtime.cli.parser import Parser, run
from runtime.errors import EnvironmentMismatch

QUERIES, KEYS, WARPS, STAGES = (32, 64, 128), (32, 64, 128), (4, 8), (2, 3, 4)
TOKENS, HEADS, BATCH = 4096, 8, 2
LARGEST_DIFFERENCE = 1e-2  # relative, from the table's own block

Compute = Callable[[], Tensor]
Found = dict[str, Timing | str]


def candidates(main: int) -> Iterator[Tile]:
    for queries, keys, warps, stages in product(QUERIES, KEYS, WARPS, STAGES):
        if queries * keys <= 128 * 128 and queries * keys // warps <= 128 * 128 // 8:
            yield Tile(queries, keys, warps, stages, main)


def named(tile: Tile) -> str:
    return f"{tile.queries} x {tile.keys}, {tile.warps} warps, {tile.stages} stages"


def measure(kernel: str, width: int, capability: tuple[int, int]) -> tuple[Found, dict[str, Tile]]:
    """Return times by name, and the tiles of those that can go into the table, its own first."""
    x = Inputs.draw(Shape(TOKENS, TOKENS, HEADS, width), BATCH)
    gates = live_gates(BATCH, HEADS, 1.0)
    own = tiles.entry(kernel, width, torch.bfloat16, capability)
    known = {named(tile): tile for tile in (own, *candidates(own.main))}
    wanted = _call(kernel, x, gates)()
    works = {name: _work(kernel, tile, x, gates, wanted) for name, tile in known.items()}
    if kernel == "forward" and own.main == width:
        for name, tile in known.items():
            bulk = _bulk(x, gates, replace(tile, main=width))
            works[f"bulk, {name}"] = KernelWork(_checked(bulk, wanted))
    return in_turns(works, rounds=5), known


def _work(kernel: str, tile: Tile, x: Inputs, gates: Tensor, wanted: Tensor) -> KernelWork:
    entry, call = tiles.entry, _call(kernel, x, gates)

    def run() -> Tensor:
        with patch.object(tiles, "entry", lambda name, *of: tile if name == kernel else entry(name, *of)):
            return call()

    return KernelWork(_checked(run, wanted))


def _call(kernel: str, x: Inputs, gates: Tensor) -> Compute:
    """Return a call that gives the tensor that `kernel` makes."""
    inputs = (x.q, x.k, x.v)
    made: list[Tensor] = []

    def run() -> Tensor:
        if kernel == "forward":
            with torch.no_grad():
                return gated_attention(*inputs, gates)
        if not made:
            made.append(gated_attention(*inputs, gates))
        found = torch.autograd.grad(made[0], inputs, x.grad, retain_graph=True)
        return found[0] if kernel == "dq" else found[1]

    return run


def _bulk(x: Inputs, gates: Tensor, tile: Tile) -> Compute:
    q, k, v = (y.detach() for y in (x.q, x.k, x.v))
    return lambda: attend_bulk(q, k, v, gates, tile)


def _checked(run: Compute, wanted: Tensor) -> Compute:
    """Return `run`, whose first result must be `wanted`."""
    right: list[bool] = []

    def checked() -> Tensor:
        found = run()
        if not right:
            difference = float((found - wanted).norm() / wanted.norm())
            if not difference <= LARGEST_DIFFERENCE:
                raise RuntimeError(f"computes something else: {difference:.1e}")
            right.append(True)
        return found

    return checked


def rows(found: Found, own: str) -> list[dict[str, Any]]:
    """Return a row for each tile: the fastest first, what failed last."""
    base = found[own]
    order = sorted(
        found, key=lambda name: x.seconds if isinstance(x := found[name], Timing) else float("inf")
    )
    return [
        {
            "block": f"**{name}**" if name == own else name,
            "time": spread(x.samples) if isinstance(x := found[name], Timing) else x,
            "to the table's": f"{x.seconds / base.seconds:.3f}"
            if isinstance(x, Timing) and isinstance(base, Timing)
            else "-",
        }
        for name in order
    ]


def winner(found: Found, known: dict[str, Tile]) -> Tile:
    """Return the fastest tile that can go into the table. ValueError if none ran."""
    ran = {name: x.seconds for name in known if isinstance(x := found[name], Timing)}
    return known[min(ran, key=ran.__getitem__)]


def main() -> None:
    parser = Parser(prog="python -m bench.kernels.sweep", description="Times blocks of the attention kernels")
    parser.add_argument("--widths", nargs="+", type=int, choices=HEAD_DIMS, default=[64], help="head dims")
    parser.add_argument("--kernels", nargs="+", choices=KERNELS, default=list(KERNELS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise EnvironmentMismatch(
            "bench.kernels.sweep measures on an NVIDIA GPU, and torch finds none here; run it where one is"
        )
    capability = torch.cuda.get_device_capability()
    tables: dict[str, list[dict[str, Any]]] = {"For the table": []}
    samples: dict[str, Any] = {}
    for width, kernel in product(options.widths, options.kernels):
        found, known = measure(kernel, width, capability)
        heading = f"{kernel}, head dim {width}, compute capability {capability[0]}.{capability[1]}"
        tables[heading] = rows(found, next(iter(known)))
        best = winner(found, known)
        entry = f"({best.queries}, {best.keys}, {best.warps}, {best.stages})"
        tables["For the table"].append(
            {"head dim": width, "kernel": kernel, "main": best.main, "entry": entry}
        )
        samples[heading] = {name: asdict(x) if isinstance(x, Timing) else x for name, x in found.items()}
        text = write("kernels.sweep", "Blocks of the attention kernels", tables, samples, folder=options.out)
    print(text)


if __name__ == "__main__":
    run(main)
