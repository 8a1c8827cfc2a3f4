"""The forward kernel: out = gate · softmax(scale · q kᵀ) v per sample and head, in one pass over the keys.

One program makes one block of one head's output, with the online softmax of FlashAttention (Milakov and
Gimelshein 2018; Dao 2023): a running maximum and sum per query, in float32 and base 2, so that SD 2.1's
logits, which overflow float16, stay finite.

Traffic per live head, in elements: q and out once (N_q·D each), k and v once from memory (N_k·D each) and
once per block of queries from L2, and 4 bytes per query for lse2, which the backward pass reads.
Operations: 4·N_q·N_k·D. A closed head costs the launch of its programs, one load of its gate in each, and
the zeros it writes: its q, k and v are never read. Its programs cannot be left out of the grid, because only
the GPU knows how many there are and asking would stall the CPU; the hardware hands their places to live ones.

Keys and values come through pointers. Hopper's bulk copies need descriptors, which are lost when torch (2.13)
traces a `triton_op`, unless each program builds its own; what they would gain has not been measured.
"""

import triton
import triton.language as tl
from torch import Tensor, float32
from torch.library import wrap_triton

from kernels.attention.launch import by_token, common, even
from kernels.attention.rows import add_mixed, inner, load_rows, scale_rows, store_rows, zero_rows
from kernels.attention.tiles import choose


@triton.jit
def own_head():
    """Return this program's sample and head, with 64 bits, because offsets of heads start with them."""
    return tl.program_id(2).to(tl.int64), tl.program_id(1).to(tl.int64)


@triton.jit
def live_part(gates, lengths, b, h, g_b, N_K, LENGTHS: tl.constexpr):
    """Return the gate of head h of sample b, and how many keys the sample has; a head is closed if either is
    0.
    """
    gate = tl.load(gates + b * g_b + h).to(tl.float32)
    keys = N_K
    if LENGTHS:
        keys = tl.maximum(tl.minimum(tl.load(lengths + b), N_K), 0).to(tl.int32)
    return gate, keys


@triton.jit
def _online_softmax_step(
    state, q, k, v, k_n, v_n, start, keys, MASKED: tl.constexpr, SCALE: tl.constexpr,
    D: tl.constexpr, MAIN: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """`state` after the keys from `start` on: maximum [rows], sum [rows], unnormalised output."""
    highest, total, mixed = state
    columns = start + tl.arange(0, BLOCK_N)
    logits = inner(q, load_rows(k, columns, k_n, keys, MASKED, D, MAIN), PRECISION)
    if MASKED:
        logits = tl.where(columns[None, :] < keys, logits, float("-inf"))
    higher = tl.maximum(highest, tl.max(logits, 1) * SCALE)
    weights = tl.exp2(logits * SCALE - higher[:, None])  # one fused multiply-add per logit
    shrink = tl.exp2(highest - higher)
    mixed = scale_rows(mixed, shrink[:, None])
    mixed = add_mixed(mixed, weights, load_rows(v, columns, v_n, keys, MASKED, D, MAIN), PRECISION)
    return higher, total * shrink + tl.sum(weights, 1), mixed


@triton.jit
def attend_head(
    q, k, v, k_n, v_n, keys, EVEN: tl.constexpr, SCALE: tl.constexpr, D: tl.constexpr, MAIN: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Return softmax(q kᵀ) v for BLOCK_M queries of one head, and lse2: log2 of each one's sum of
    exponentials. EVEN: BLOCK_N divides keys.
    """
    lowest = tl.full([BLOCK_M], float("-inf"), tl.float32)
    state = (lowest, tl.zeros([BLOCK_M], tl.float32), zero_rows(BLOCK_M, D, MAIN))
    whole = keys // BLOCK_N * BLOCK_N
    for start in range(0, whole, BLOCK_N):
        state = _online_softmax_step(
            state, q, k, v, k_n, v_n, start, keys, False, SCALE, D, MAIN, BLOCK_N, PRECISION
        )  # fmt: skip
    if not EVEN:
        for start in tl.range(whole, keys, BLOCK_N, num_stages=1):  # once or never
            state = _online_softmax_step(
                state, q, k, v, k_n, v_n, start, keys, True, SCALE, D, MAIN, BLOCK_N, PRECISION
            )  # fmt: skip
    highest, total, mixed = state
    return scale_rows(mixed, (1 / total)[:, None]), highest + tl.log2(total)


@triton.jit
def _attend(
    q, k, v, gates, lengths, out, lse2, q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n, g_b, HEADS, N_Q, N_K,
    EVEN: tl.constexpr, LENGTHS: tl.constexpr, UNIT: tl.constexpr, SCALE: tl.constexpr, D: tl.constexpr,
    MAIN: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Grid: (blocks of queries, heads, samples); a program makes out and lse2 of BLOCK_M queries."""
    b, h = own_head()
    gate, keys = live_part(gates, lengths, b, h, g_b, N_K, LENGTHS)
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    out += (b * N_Q * HEADS + h) * D
    lse2 += (b * HEADS + h) * N_Q
    if (gate == 0) | (keys == 0):
        store_rows(out, rows, HEADS * D, N_Q, zero_rows(BLOCK_M, D, MAIN), D, MAIN)
        tl.store(lse2 + rows, tl.zeros([BLOCK_M], tl.float32), mask=rows < N_Q)
        return
    q_rows = load_rows(q + (b * q_b + h * q_h) * UNIT, rows, q_n * UNIT, N_Q, True, D, MAIN)
    k += (b * k_b + h * k_h) * UNIT
    v += (b * v_b + h * v_h) * UNIT
    mixed, found = attend_head(
        q_rows, k, v, k_n * UNIT, v_n * UNIT, keys, EVEN, SCALE, D, MAIN, BLOCK_M, BLOCK_N, PRECISION
    )
    store_rows(out, rows, HEADS * D, N_Q, scale_rows(mixed, gate), D, MAIN)
    tl.store(lse2 + rows, found, mask=rows < N_Q)


def attend(
    q: Tensor, k: Tensor, v: Tensor, gates: Tensor, lengths: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """Compute `reference.attend` by the kernel. The caller has checked the arguments."""
    batch, heads, queries, _ = q.shape
    out, lse2 = by_token(q), q.new_empty(q.shape[:3], dtype=float32)
    tile = choose("forward", q, k)
    wrap_triton(_attend)[(triton.cdiv(queries, tile.queries), heads, batch)](
        out=out,
        lse2=lse2,
        EVEN=even(lengths, k.shape[2], tile.keys),
        **common(q, k, v, gates, lengths, scale, tile),
    )
    return out, lse2
