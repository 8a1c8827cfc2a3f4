"""The forward kernel reading through tensor descriptors, which Hopper's bulk copies serve: a candidate.

Only what it takes to time that against pointers: whole blocks, a head dim that is a power of two, all keys,
no lse2. It lives here because it has not been shown to win, and because torch cannot trace descriptors made
on the host through a `triton_op`; if it wins, that is the problem to solve.
"""

import triton
import triton.language as tl
from torch import Tensor, empty_like
from triton.tools.tensor_descriptor import TensorDescriptor

from kernels.attention.reference import LOG2_E
from kernels.attention.tiles import Tile


@triton.jit
def _attend_bulk(
    q, k, v, out, gates, HEADS, N_Q, N_K,
    SCALE: tl.constexpr, D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Grid: (blocks of queries, heads, samples). q, k, v and out are descriptors of [B·N, H·D]."""
    b, h = tl.program_id(2), tl.program_id(1)
    row = b * N_Q + tl.program_id(0) * BLOCK_M
    gate = tl.load(gates + b * HEADS + h).to(tl.float32)
    mixed = tl.zeros([BLOCK_M, D], tl.float32)
    if gate == 0:
        out.store([row, h * D], mixed.to(out.dtype))
        return
    highest = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    queries = q.load([row, h * D])
    for start in range(0, N_K, BLOCK_N):
        logits = tl.dot(queries, tl.trans(k.load([b * N_K + start, h * D])))
        higher = tl.maximum(highest, tl.max(logits, 1) * SCALE)
        weights = tl.exp2(logits * SCALE - higher[:, None])
        shrink = tl.exp2(highest - higher)
        values = v.load([b * N_K + start, h * D])
        mixed = tl.dot(weights.to(values.dtype), values, mixed * shrink[:, None])
        total = total * shrink + tl.sum(weights, 1)
        highest = higher
    out.store([row, h * D], (mixed * (gate / total)[:, None]).to(out.dtype))


def attend_bulk(q: Tensor, k: Tensor, v: Tensor, gates: Tensor, tile: Tile) -> Tensor:
    """Attend over q, k, v [B, H, N, D], laid out by token as the output is.

    Raises ValueError for what it does not take.
    """
    batch, heads, queries, width = q.shape
    keys = k.shape[2]
    if queries % tile.queries or keys % tile.keys or width != tile.main:
        raise ValueError(f"{queries} x {keys} of {width} is not whole blocks of {tile}")
    out = empty_like(q)

    def described(x: Tensor, block: int) -> TensorDescriptor:
        flat = x.transpose(1, 2).view(-1, heads * width)
        return TensorDescriptor.from_tensor(flat, [block, width])

    _attend_bulk[(queries // tile.queries, heads, batch)](
        described(q, tile.queries), described(k, tile.keys), described(v, tile.keys),
        described(out, tile.queries), gates, heads, queries, keys,
        SCALE=width**-0.5 * LOG2_E, D=width, BLOCK_M=tile.queries, BLOCK_N=tile.keys,
        num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip
    return out
