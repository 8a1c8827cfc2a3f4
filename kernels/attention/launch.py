"""The shared part of all launches: memory laid out by token, and the arguments of every kernel over q, k and
v.
"""

from typing import Any

import torch
from torch import Tensor

from kernels.attention.reference import LOG2_E
from kernels.attention.tiles import Tile, precision

UNIT = 8  # elements: 16 bytes, the widest load, of 16-bit numbers
# q, k, v, gates, lengths, scale
Arguments = tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, float]


def by_token(x: Tensor, parts: int = 1, dtype: torch.dtype | None = None) -> Tensor:
    """Allocate `parts` tensors like `x` [B, H, N, D], one after the other along B, each laid out as [B, N, H,
    D]: the layout of the layers around an attention.
    """
    batch, heads, rows, width = x.shape
    return x.new_empty((parts * batch, rows, heads, width), dtype=dtype or x.dtype).transpose(1, 2)


def summed(x: Tensor, parts: int, dtype: torch.dtype) -> Tensor:
    """Return the sum of what `by_token` laid out in `parts`, laid out like one of them."""
    rows = x.transpose(1, 2)  # [parts · B, N, H, D]
    return rows.view(parts, -1, *rows.shape[1:]).sum(0).to(dtype).transpose(1, 2)


def even(lengths: Tensor | None, rows: int, block: int) -> bool:
    """Return whether every block of `rows` is whole, for every sample."""
    return bool(lengths is None and rows % block == 0)  # a symbol's truth is no constant yet


def lengths_or_any(gates: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the lengths, or any pointer where there are none: the kernel takes one and does not read it."""
    return gates if lengths is None else lengths


def common(
    q: Tensor, k: Tensor, v: Tensor, gates: Tensor, lengths: Tensor | None, scale: float, tile: Tile
) -> dict[str, Any]:
    """Return tensors, strides, sizes and constants by the names that the kernels give them.

    Strides are counted in units of UNIT elements, if all are whole multiples, so that the compiler knows
    every row of 16-bit numbers to start at a multiple of 16 bytes. Triton by itself sees only strides that
    16 divides: at D = 40 the heads of [B, N, H·D] are 40 apart, and it would load them element by element.
    """
    sizes = {"HEADS": q.shape[1], "N_Q": q.shape[2], "N_K": k.shape[2], "D": int(q.shape[3])}
    strides = {
        f"{name}_{axis}": x.stride(place)
        for name, x in {"q": q, "k": k, "v": v}.items()
        for place, axis in enumerate("bhn")
    }
    unit = UNIT if all(stride % UNIT == 0 for stride in strides.values()) else 1
    return {
        "q": q,
        "k": k,
        "v": v,
        "gates": gates,
        "g_b": gates.stride(0),
        **{name: stride // unit for name, stride in strides.items()},
        **sizes,
        "lengths": lengths_or_any(gates, lengths),
        "LENGTHS": lengths is not None,
        "UNIT": unit,
        "SCALE": float(scale) * LOG2_E,
        "PRECISION": precision(q.dtype, q.shape[3]),
        "MAIN": tile.main,
        "BLOCK_M": tile.queries,
        "BLOCK_N": tile.keys,
        "num_warps": tile.warps,
        "num_stages": tile.stages,
    }
