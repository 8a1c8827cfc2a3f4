"""The backward kernels: gradients of q, k and v, given that of the output.

With P = softmax(scale · q kᵀ), from the lse2 that the forward pass kept, dP = grad · vᵀ, and δ of `gates.py`:

    dv = gate · Pᵀ grad,  dS = P ∘ (gate · dP − δ),  dq = scale · dS k,  dk = scale · dSᵀ q

`_dk_dv` owns a block of keys and walks over the queries, `_dq` the other way round, so that every
sum has one owner: no atomics, and the same bits every time. With few keys (text) there are too few blocks of
them to fill a GPU: the walk is then cut into parts, float32, which are summed after.

Traffic per live head, in elements: q, k, v and grad twice, dq, dk and dv once, and 16 bytes per query.
Operations: 14·N_q·N_k·D, of which 4 make P and dP a second time, the price of owning sums: seven products
where a backward in one pass, with atomics, has five, so at the same efficiency this is at best 0.71 times as
fast. A closed head costs the zeros that are written to its dq, dk and dv.
"""

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
def _p_and_ds(a, b, along_a, along_b, lse2, deltas, gate, SCALE: tl.constexpr, PRECISION: tl.constexpr):
    """Return P and dS of one block, given the rows of q and k, those of grad and v, or all four the other
    way.
    """
    p = tl.exp2(inner(a, b, PRECISION) * SCALE - lse2)
    return p, p * (gate * inner(along_a, along_b, PRECISION) - deltas)


@triton.jit
def _dk_dv(
    q, k, v, gates, lengths, grad, lse2, deltas, dk, dv,
    q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n, g_b, HEADS, N_Q, N_K, BATCH, walk,
    EVEN: tl.constexpr, LENGTHS: tl.constexpr, UNIT: tl.constexpr, SCALE: tl.constexpr, D: tl.constexpr,
    MAIN: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Grid: (parts of the queries · blocks of keys, heads, samples); a program makes dk and dv of BLOCK_N
    keys over one part of the queries, `walk` of them. EVEN: BLOCK_M divides N_Q.
    """
    b, h = own_head()
    gate, keys = live_part(gates, lengths, b, h, g_b, N_K, LENGTHS)
    blocks = tl.cdiv(N_K, BLOCK_N)
    part, first_key = tl.program_id(0) // blocks, tl.program_id(0) % blocks * BLOCK_N
    columns = first_key + tl.arange(0, BLOCK_N)
    dk_rows, dv_rows = zero_rows(BLOCK_N, D, MAIN), zero_rows(BLOCK_N, D, MAIN)
    own = ((part * BATCH + b) * N_K * HEADS + h) * D
    if (gate == 0) | (first_key >= keys):
        store_rows(dk + own, columns, HEADS * D, N_K, dk_rows, D, MAIN)
        store_rows(dv + own, columns, HEADS * D, N_K, dv_rows, D, MAIN)
        return
    k_rows = load_rows(k + (b * k_b + h * k_h) * UNIT, columns, k_n * UNIT, keys, True, D, MAIN)
    v_rows = load_rows(v + (b * v_b + h * v_h) * UNIT, columns, v_n * UNIT, keys, True, D, MAIN)
    q += (b * q_b + h * q_h) * UNIT
    grad += (b * N_Q * HEADS + h) * D
    lse2 += (b * HEADS + h) * N_Q
    deltas += (b * HEADS + h) * N_Q
    for start in range(part * walk, tl.minimum(part * walk + walk, N_Q), BLOCK_M):
        rows = start + tl.arange(0, BLOCK_M)
        q_rows = load_rows(q, rows, q_n * UNIT, N_Q, not EVEN, D, MAIN)
        grads = load_rows(grad, rows, HEADS * D, N_Q, not EVEN, D, MAIN)
        lse = tl.load(lse2 + rows, mask=rows < N_Q, other=float("inf"))  # beyond the last: P = 0
        delta = tl.load(deltas + rows, mask=rows < N_Q, other=0.0)
        p, ds = _p_and_ds(k_rows, q_rows, v_rows, grads, lse[None, :], delta[None, :], gate, SCALE, PRECISION)
        dv_rows = add_mixed(dv_rows, p, grads, PRECISION)
        dk_rows = add_mixed(dk_rows, ds, q_rows, PRECISION)
    # Keys beyond the sample's last were read as zeros and got weights all the same, in rows of their own.
    live = (columns < keys)[:, None]
    store_rows(dk + own, columns, HEADS * D, N_K, scale_rows(keep_rows(dk_rows, live), SCALE * LN_2), D, MAIN)
    store_rows(dv + own, columns, HEADS * D, N_K, scale_rows(keep_rows(dv_rows, live), gate), D, MAIN)


@triton.jit
def _dq_step(
    dq_rows, q_rows, grads, lse, delta, k, v, k_n, v_n, start, keys, gate, MASKED: tl.constexpr,
    SCALE: tl.constexpr, D: tl.constexpr, MAIN: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """`dq_rows` after the keys from `start` on."""
    columns = start + tl.arange(0, BLOCK_N)
    k_rows = load_rows(k, columns, k_n, keys, MASKED, D, MAIN)
    v_rows = load_rows(v, columns, v_n, keys, MASKED, D, MAIN)
    _, ds = _p_and_ds(q_rows, k_rows, grads, v_rows, lse[:, None], delta[:, None], gate, SCALE, PRECISION)
    if MASKED:
        ds = tl.where(columns[None, :] < keys, ds, 0.0)
    return add_mixed(dq_rows, ds, k_rows, PRECISION)


@triton.jit
def _dq(
    q, k, v, gates, lengths, grad, lse2, deltas, dq,
    q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n, g_b, HEADS, N_Q, N_K,
    EVEN: tl.constexpr, LENGTHS: tl.constexpr, UNIT: tl.constexpr, SCALE: tl.constexpr, D: tl.constexpr,
    MAIN: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Grid: (blocks of queries, heads, samples); a program makes dq of BLOCK_M queries of a head. EVEN:
    BLOCK_N divides the keys.
    """
    b, h = own_head()
    gate, keys = live_part(gates, lengths, b, h, g_b, N_K, LENGTHS)
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    head = (b * N_Q * HEADS + h) * D
    dq_rows = zero_rows(BLOCK_M, D, MAIN)
    if (gate == 0) | (keys == 0):
        store_rows(dq + head, rows, HEADS * D, N_Q, dq_rows, D, MAIN)
        return
    q_rows = load_rows(q + (b * q_b + h * q_h) * UNIT, rows, q_n * UNIT, N_Q, True, D, MAIN)
    grads = load_rows(grad + head, rows, HEADS * D, N_Q, True, D, MAIN)
    places = (b * HEADS + h) * N_Q + rows
    lse = tl.load(lse2 + places, mask=rows < N_Q, other=float("inf"))
    delta = tl.load(deltas + places, mask=rows < N_Q, other=0.0)
    k += (b * k_b + h * k_h) * UNIT
    v += (b * v_b + h * v_h) * UNIT
    whole = keys // BLOCK_N * BLOCK_N
    for start in range(0, whole, BLOCK_N):
        dq_rows = _dq_step(
            dq_rows, q_rows, grads, lse, delta, k, v, k_n * UNIT, v_n * UNIT, start, keys, gate, False,
            SCALE, D, MAIN, BLOCK_N, PRECISION,
        )  # fmt: skip
    if not EVEN:
        for start in tl.range(whole, keys, BLOCK_N, num_stages=1):  # once or never
            dq_rows = _dq_step(
                dq_rows, q_rows, grads, lse, delta, k, v, k_n * UNIT, v_n * UNIT, start, keys, gate, True,
                SCALE, D, MAIN, BLOCK_N, PRECISION,
            )  # fmt: skip
    store_rows(dq + head, rows, HEADS * D, N_Q, scale_rows(dq_rows, SCALE * LN_2), D, MAIN)


def gradients(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: Tensor,
    lengths: Tensor | None,
    *,
    out: Tensor,
    lse2: Tensor,
    scale: float,
    straight_through: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute `reference.gradients` by the kernels, from the results of `attend`.

    The caller has checked all.
    """
    batch, heads, queries, _ = q.shape
    grad = grad.transpose(1, 2).contiguous().transpose(1, 2)
    arguments = (q, k, v, gates, lengths, scale)
    deltas, dgates = deltas_and_gates(grad, out, arguments, straight_through)
    given = {"grad": grad, "lse2": lse2, "deltas": deltas}

    tile, dq = choose("dq", q, k), by_token(q)
    wrap_triton(_dq)[(triton.cdiv(queries, tile.queries), heads, batch)](
        **given, dq=dq, EVEN=even(lengths, k.shape[2], tile.keys), **common(*arguments, tile)
    )

    tile = choose("dk_dv", q, k)
    blocks = triton.cdiv(k.shape[2], tile.keys)
    walk = tile.queries * walked(triton.cdiv(queries, tile.queries), batch * heads * blocks)
    parts = triton.cdiv(queries, walk)
    dk, dv = (by_token(x, parts, x.dtype if parts == 1 else float32) for x in (k, v))
    wrap_triton(_dk_dv)[(parts * blocks, heads, batch)](
        **given, dk=dk, dv=dv, BATCH=batch, walk=walk,
        EVEN=even(None, queries, tile.queries), **common(*arguments, tile),
    )  # fmt: skip
    if parts > 1:
        dk, dv = (summed(x, parts, q.dtype) for x in (dk, dv))
    return dq, dk, dv, dgates
