"""The backward kernels: gradients of q, k and v, given that of the output.

With P = softmax(scale · q kᵀ), from the sums that the forward pass kept, dP = grad · vᵀ, and δ of `gates.py`:

    dv = gate · Pᵀ grad,  dS = P ∘ (gate · dP − δ),  dq = scale · dS k,  dk = scale · dSᵀ q

`_to_keys` owns a block of keys and walks over the queries, `_to_queries` the other way round, so that every
sum has one owner: no atomics, and the same bits every time. With few keys (text) there are too few blocks of
them to fill a GPU: the walk is then cut into parts, float32, which are summed after.

Traffic per live head, in elements: q, k, v and grad twice, dq, dk and dv once, and 16 bytes per query.
Operations: 14·N_q·N_k·D, of which 4 make P and dP a second time, the price of owning sums. A closed head
costs the zeros that are written to its dq, dk and dv.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor, float32
from torch.library import wrap_triton

from kernels.attention.forward import live_part, own_head
from kernels.attention.gates import deltas_and_gates
from kernels.attention.launch import by_token, common, even, summed
from kernels.attention.reference import LOG2_E
from kernels.attention.rows import add_mixed, inner, keep_rows, load_rows, scale_rows, store_rows, zero_rows
from kernels.attention.tiles import choose, walked

LN_2 = tl.constexpr(1 / LOG2_E)


@triton.jit
def _slopes(a, b, along_a, along_b, sums, deltas, gate, SCALE: tl.constexpr, PRECISION: tl.constexpr):
    """P and dS of one block, given the rows of q and k, those of grad and v, or all four the other way."""
    weights = tl.exp2(inner(a, b, PRECISION) * SCALE - sums)
    return weights, weights * (gate * inner(along_a, along_b, PRECISION) - deltas)


@triton.jit
def _to_keys(
    q, k, v, gates, lengths, grad, sums, deltas, dk, dv,
    q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n, g_b, HEADS, N_Q, N_K, BATCH, walk,
    EVEN: tl.constexpr, LENGTHS: tl.constexpr, SCALE: tl.constexpr, D: tl.constexpr, MAIN: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """dk and dv of BLOCK_N keys over one part of the queries, ``walk`` of them. EVEN: BLOCK_M divides N_Q."""
    b, h = own_head()
    gate, keys = live_part(gates, lengths, b, h, g_b, N_K, LENGTHS)
    blocks = tl.cdiv(N_K, BLOCK_N)
    part, first_key = tl.program_id(0) // blocks, tl.program_id(0) % blocks * BLOCK_N
    columns = first_key + tl.arange(0, BLOCK_N)
    to_k, to_v = zero_rows(BLOCK_N, D, MAIN), zero_rows(BLOCK_N, D, MAIN)
    own = ((part * BATCH + b) * N_K * HEADS + h) * D
    if (gate == 0) | (first_key >= keys):
        store_rows(dk + own, columns, HEADS * D, N_K, to_k, D, MAIN)
        store_rows(dv + own, columns, HEADS * D, N_K, to_v, D, MAIN)
        return
    k_rows = load_rows(k + b * k_b + h * k_h, columns, k_n, keys, True, D, MAIN)
    v_rows = load_rows(v + b * v_b + h * v_h, columns, v_n, keys, True, D, MAIN)
    q += b * q_b + h * q_h
    grad += (b * N_Q * HEADS + h) * D
    sums += (b * HEADS + h) * N_Q
    deltas += (b * HEADS + h) * N_Q
    for start in range(part * walk, tl.minimum(part * walk + walk, N_Q), BLOCK_M):
        rows = start + tl.arange(0, BLOCK_M)
        q_rows = load_rows(q, rows, q_n, N_Q, not EVEN, D, MAIN)
        grads = load_rows(grad, rows, HEADS * D, N_Q, not EVEN, D, MAIN)
        sum2 = tl.load(sums + rows, mask=rows < N_Q, other=float("inf"))  # beyond the last: weights of 0
        delta = tl.load(deltas + rows, mask=rows < N_Q, other=0.0)
        weights, slopes = _slopes(
            k_rows, q_rows, v_rows, grads, sum2[None, :], delta[None, :], gate, SCALE, PRECISION
        )
        to_v = add_mixed(to_v, weights, grads, PRECISION)
        to_k = add_mixed(to_k, slopes, q_rows, PRECISION)
    # Keys beyond the sample's last were read as zeros and got weights all the same, in rows of their own.
    live = (columns < keys)[:, None]
    store_rows(dk + own, columns, HEADS * D, N_K, scale_rows(keep_rows(to_k, live), SCALE * LN_2), D, MAIN)
    store_rows(dv + own, columns, HEADS * D, N_K, scale_rows(keep_rows(to_v, live), gate), D, MAIN)


@triton.jit
def _pull(
    to_q, q_rows, grads, sum2, delta, k, v, k_n, v_n, start, keys, gate, MASKED: tl.constexpr,
    SCALE: tl.constexpr, D: tl.constexpr, MAIN: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """``to_q`` after the keys from ``start`` on."""
    columns = start + tl.arange(0, BLOCK_N)
    k_rows = load_rows(k, columns, k_n, keys, MASKED, D, MAIN)
    v_rows = load_rows(v, columns, v_n, keys, MASKED, D, MAIN)
    _, slopes = _slopes(q_rows, k_rows, grads, v_rows, sum2[:, None], delta[:, None], gate, SCALE, PRECISION)
    if MASKED:
        slopes = tl.where(columns[None, :] < keys, slopes, 0.0)
    return add_mixed(to_q, slopes, k_rows, PRECISION)


@triton.jit
def _to_queries(
    q, k, v, gates, lengths, grad, sums, deltas, dq,
    q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n, g_b, HEADS, N_Q, N_K,
    EVEN: tl.constexpr, LENGTHS: tl.constexpr, SCALE: tl.constexpr, D: tl.constexpr, MAIN: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """dq of BLOCK_M queries. EVEN: BLOCK_N divides the keys."""
    b, h = own_head()
    gate, keys = live_part(gates, lengths, b, h, g_b, N_K, LENGTHS)
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    head = (b * N_Q * HEADS + h) * D
    to_q = zero_rows(BLOCK_M, D, MAIN)
    if (gate == 0) | (keys == 0):
        store_rows(dq + head, rows, HEADS * D, N_Q, to_q, D, MAIN)
        return
    q_rows = load_rows(q + b * q_b + h * q_h, rows, q_n, N_Q, True, D, MAIN)
    grads = load_rows(grad + head, rows, HEADS * D, N_Q, True, D, MAIN)
    places = (b * HEADS + h) * N_Q + rows
    sum2 = tl.load(sums + places, mask=rows < N_Q, other=float("inf"))
    delta = tl.load(deltas + places, mask=rows < N_Q, other=0.0)
    k += b * k_b + h * k_h
    v += b * v_b + h * v_h
    whole = keys // BLOCK_N * BLOCK_N
    for start in range(0, whole, BLOCK_N):
        to_q = _pull(
            to_q, q_rows, grads, sum2, delta, k, v, k_n, v_n, start, keys, gate, False,
            SCALE, D, MAIN, BLOCK_N, PRECISION,
        )  # fmt: skip
    if not EVEN:
        for start in tl.range(whole, keys, BLOCK_N, num_stages=1):  # once or never
            to_q = _pull(
                to_q, q_rows, grads, sum2, delta, k, v, k_n, v_n, start, keys, gate, True,
                SCALE, D, MAIN, BLOCK_N, PRECISION,
            )  # fmt: skip
    store_rows(dq + head, rows, HEADS * D, N_Q, scale_rows(to_q, SCALE * LN_2), D, MAIN)


def gradients(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: Tensor,
    lengths: Tensor | None,
    *,
    out: Tensor,
    sums: Tensor,
    scale: float,
    straight_through: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `reference.gradients`, by the kernels, with what `attend` made. The caller has checked all."""
    batch, heads, queries, _ = q.shape
    grad = grad.transpose(1, 2).contiguous().transpose(1, 2)
    arguments = (q, k, v, gates, lengths, scale)
    deltas, to_gates = deltas_and_gates(grad, out, arguments, straight_through)
    given = {"grad": grad, "sums": sums, "deltas": deltas}

    tile, to_q = choose("to_queries", q, k), by_token(q)
    wrap_triton(_to_queries)[(triton.cdiv(queries, tile.queries), heads, batch)](
        **given, dq=to_q, EVEN=even(lengths, k.shape[2], tile.keys), **common(*arguments, tile)
    )

    tile = choose("to_keys", q, k)
    blocks = triton.cdiv(k.shape[2], tile.keys)
    walk = tile.queries * walked(triton.cdiv(queries, tile.queries), batch * heads * blocks)
    parts = triton.cdiv(queries, walk)
    to_k, to_v = (by_token(x, parts, x.dtype if parts == 1 else float32) for x in (k, v))
    wrap_triton(_to_keys)[(parts * blocks, heads, batch)](
        **given, dk=to_k, dv=to_v, BATCH=batch, walk=walk,
        EVEN=even(None, queries, tile.queries), **common(*arguments, tile),
    )  # fmt: skip
    if parts > 1:
        to_k, to_v = (summed(x, parts, q.dtype) for x in (to_k, to_v))
    return to_q, to_k, to_v, to_gates
