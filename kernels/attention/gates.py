"""The gradient of the gates, and δ = rowsum(grad ∘ out), which the other gradients need as well.

    dgate = Σ grad ∘ softmax(scale · q kᵀ) v,  which is Σ δ / gate for an open gate

A closed head's output was never computed. By default its gate therefore gets 0: the gradient of a network
without that head. A gate that must be able to open again (a straight-through or annealed one) needs the
derivative itself, and `_to_closed_gates` gives it by computing what the forward pass left out, at the price
of a live head's forward pass and without keeping anything.

Traffic per live head, in elements: out and grad once, 4 bytes per query. In float16 an output under a gate
below about 1e-4 is subnormal, and the gradient of that gate is as coarse as it is.
"""

import triton
import triton.language as tl
from torch import Tensor, float32
from torch.library import wrap_triton

from kernels.attention.forward import attend_head, live_part, own_head
from kernels.attention.launch import Arguments, common, even, lengths_or_any
from kernels.attention.rows import load_rows, sum_of_products
from kernels.attention.tiles import choose


@triton.jit
def _to_deltas(
    out, grad, gates, lengths, deltas, shares, g_b, HEADS, N_Q, N_K,
    LENGTHS: tl.constexpr, D: tl.constexpr, MAIN: tl.constexpr, BLOCK_M: tl.constexpr,
):  # fmt: skip
    """Return δ of BLOCK_M queries, and their sum over the gate: this block's share of dgate, 0 if closed."""
    b, h = own_head()
    gate, keys = live_part(gates, lengths, b, h, g_b, N_K, LENGTHS)
    share = shares + (b * HEADS + h) * tl.num_programs(0) + tl.program_id(0)
    if (gate == 0) | (keys == 0):
        tl.store(share, 0.0)
        return
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    head = (b * N_Q * HEADS + h) * D
    made = load_rows(out + head, rows, HEADS * D, N_Q, True, D, MAIN)
    delta = sum_of_products(made, load_rows(grad + head, rows, HEADS * D, N_Q, True, D, MAIN))
    tl.store(deltas + (b * HEADS + h) * N_Q + rows, delta, mask=rows < N_Q)
    tl.store(share, tl.sum(delta, 0) / gate)


@triton.jit
def _to_closed_gates(
    q, k, v, gates, lengths, grad, shares, q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n, g_b, HEADS, N_Q, N_K,
    EVEN: tl.constexpr, LENGTHS: tl.constexpr, UNIT: tl.constexpr, SCALE: tl.constexpr, D: tl.constexpr,
    MAIN: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write a closed gate's dgate, Σ grad ∘ softmax(scale · q kᵀ) v: this block's share, replacing the 0 that
    `_to_deltas` wrote.
    """
    b, h = own_head()
    gate, keys = live_part(gates, lengths, b, h, g_b, N_K, LENGTHS)
    if (gate != 0) | (keys == 0):
        return
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    q_rows = load_rows(q + (b * q_b + h * q_h) * UNIT, rows, q_n * UNIT, N_Q, True, D, MAIN)
    k += (b * k_b + h * k_h) * UNIT
    v += (b * v_b + h * v_h) * UNIT
    mixed, _ = attend_head(
        q_rows, k, v, k_n * UNIT, v_n * UNIT, keys, EVEN, SCALE, D, MAIN, BLOCK_M, BLOCK_N, PRECISION
    )
    grads = load_rows(grad + (b * N_Q * HEADS + h) * D, rows, HEADS * D, N_Q, True, D, MAIN)
    share = shares + (b * HEADS + h) * tl.num_programs(0) + tl.program_id(0)
    tl.store(share, tl.sum(sum_of_products(mixed, grads), 0))


def deltas_and_gates(
    grad: Tensor, out: Tensor, arguments: Arguments, straight_through: bool
) -> tuple[Tensor, Tensor]:
    """Return δ [B, H, N_q], undefined where a head is closed, and dgate [B, H]; `grad` lies as `out`."""
    q, k, _, gates, lengths, _ = arguments
    batch, heads, queries, width = q.shape
    tile = choose("forward", q, k)
    blocks = triton.cdiv(queries, tile.queries)
    deltas, shares = (q.new_empty((batch, heads, n), dtype=float32) for n in (queries, blocks))
    wrap_triton(_to_deltas)[(blocks, heads, batch)](
        out, grad, gates, lengths_or_any(gates, lengths), deltas, shares, gates.stride(0), heads, queries,
        k.shape[2], LENGTHS=lengths is not None, D=int(width), MAIN=tile.main, BLOCK_M=tile.queries,
    )  # fmt: skip
    if straight_through:
        wrap_triton(_to_closed_gates)[(blocks, heads, batch)](
            grad=grad,
            shares=shares,
            EVEN=even(lengths, k.shape[2], tile.keys),
            **common(*arguments, tile),
        )
    return deltas, shares.sum(-1).to(gates.dtype)
