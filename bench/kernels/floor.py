"""The lower bound of every attention of SD 2.1, computed before anything is measured.

At the rates of NVIDIA's data sheet for the H100 SXM (dense bfloat16, HBM3), which no kernel reaches; a
launch counts as nothing. `attention.py` holds measured times against the same floor at measured rates.
"""

from collections.abc import Sequence
from typing import Any

import torch

from bench.kernels.shapes import SHARES, Ceiling, Shape, attentions
from kernels.attention.tiles import entry

H100 = Ceiling(operations=989.4e12, bytes=3.35e12, launch=0.0, multiprocessors=132)
CAPABILITY = (9, 0)

Row = dict[str, Any]


def tables(sizes: Sequence[int], batches: Sequence[int]) -> dict[str, list[Row]]:
    found = {"What attention is worth in SD 2.1": worth(sizes)}
    for size in sizes:
        for backward in (False, True):
            heading = f"Floor on an H100, {'backward' if backward else 'forward'} at {size} pixels"
            found[heading] = [
                _row(shape, batch, backward)
                for shape in sorted(attentions(size), reverse=True)
                for batch in batches
            ]
    return found


def worth(sizes: Sequence[int]) -> list[Row]:
    """Return the share of the UNet's multiply-accumulates that attention's products make."""
    rows = []
    for size in sizes:
        shapes = attentions(size)
        largest = max(shapes)
        total = sum(count * shape.operations(1, 1) for shape, count in shapes.items())
        share = shapes[largest] * largest.operations(1, 1) / total
        row = {"pixels": size, "of all MACs": f"{SHARES[size]:.1%}", "largest": str(largest)}
        rows.append({**row, "the largest's share of that": f"{share:.0%}"})
    return rows


def _row(shape: Shape, batch: int, backward: bool) -> Row:
    block = None if backward else entry("forward", shape.width, torch.bfloat16, CAPABILITY).queries
    row = {
        "shape": str(shape),
        "batch": batch,
        "GFLOP": f"{shape.operations(batch, 1.0, backward=backward) / 1e9:.2f}",
        "MiB": f"{shape.traffic(batch, 1.0, backward=backward) / 2**20:.1f}",
    }
    for live in (1.0, 0.5):
        seconds = H100.floor(shape, batch, live, backward=backward, block=block)
        row[f"floor at {live:.0%} live, µs"] = f"{1e6 * seconds:.1f}"
    moved = shape.traffic(batch, 1.0, backward=backward) / H100.bytes
    floor = H100.floor(shape, batch, 1.0, backward=backward, block=block)
    return {**row, "bound by": "bytes" if floor == moved else "products"}
