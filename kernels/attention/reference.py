"""What gated attention means, in plain PyTorch: the kernels' specification, and the kernel of the CPU.

    out = gate · softmax(scale · q kᵀ) v, over the first `length` keys of each sample

A head whose gate is exactly zero, and every head of a sample without keys, is *closed*: its output is zero
whatever its q, k and v hold, and so are their gradients. Products and sums are in float32, or float64 for
float64 inputs. The logits are materialised, B·H·N_q·N_k of them: right for a test and for the CPU's small
networks, wrong for a GPU.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG2_E = math.log2(math.e)


def attend(
    q: Tensor, k: Tensor, v: Tensor, gates: Tensor, lengths: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """The output [B, H, N_q, D] in q's dtype, and log2 of each query's sum of exponentials [B, H, N_q].

    ``q`` [B, H, N_q, D], ``k`` and ``v`` [B, H, N_k, D], ``gates`` [B, H], ``lengths`` [B] or None for all
    keys. Differentiable; the second output, which is 0 where the head is closed, is not meant to be.
    """
    weights, sums, closed = _weights(q, k, gates, lengths, scale)
    mixed = weights @ v.to(weights.dtype)
    out = (mixed * gates[:, :, None, None].to(weights.dtype)).masked_fill(closed, 0)
    return _by_token(out.to(q.dtype)), sums.masked_fill(closed[..., 0], 0)


def gradients(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: Tensor,
    lengths: Tensor | None,
    *,
    scale: float,
    straight_through: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of q, k, v (in their dtypes) and of the gates [B, H] (in theirs), given ``grad`` [B, H, N_q, D].

    With P the softmax and dP = grad · vᵀ, both per head:

        dv = gate · Pᵀ grad,  dS = gate · P ∘ (dP − rowsum(P ∘ dP)),  dq = scale · dS k,  dk = scale · dSᵀ q
        dgate = Σ P ∘ dP, which for a gate of zero is given with ``straight_through`` and is 0 without
    """
    weights, _, closed = _weights(q, k, gates, lengths, scale)
    grad, wide_q, wide_k, wide_v = (x.to(weights.dtype) for x in (grad, q, k, v))
    gate = gates[:, :, None, None].to(weights.dtype)
    along = grad @ wide_v.mT  # dP [B, H, N_q, N_k]
    pulled = (weights * along).sum(-1, keepdim=True)
    slopes = (gate * weights * (along - pulled)).masked_fill(closed, 0) * scale
    to_v = (gate * (weights.mT @ grad)).masked_fill(closed, 0)
    silent = closed[:, :, 0, 0]
    if straight_through:
        silent = silent & (gates != 0)  # what is left has no keys
    to_gate = pulled.sum((2, 3)).masked_fill(silent, 0)
    to_q, to_k, to_v = (_by_token(x.to(q.dtype)) for x in (slopes @ wide_k, slopes.mT @ wide_q, to_v))
    return to_q, to_k, to_v, to_gate.to(gates.dtype)


def _weights(
    q: Tensor, k: Tensor, gates: Tensor, lengths: Tensor | None, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """softmax [B, H, N_q, N_k], log2 of its sums [B, H, N_q], and which heads are closed [B, H, 1, 1]."""
    wide = torch.promote_types(q.dtype, torch.float32)
    closed = gates[:, :, None, None] == 0
    logits = scale * (q.to(wide) @ k.to(wide).mT)
    if lengths is not None:
        beyond = torch.arange(k.shape[2], device=k.device) >= lengths[:, None]  # [B, N_k]
        empty = lengths[:, None, None, None] <= 0
        logits = logits.masked_fill(beyond[:, None, None], -torch.inf).masked_fill(empty, 0)
        closed = closed | empty
    return logits.softmax(-1), logits.logsumexp(-1) * LOG2_E, closed


def _by_token(x: Tensor) -> Tensor:
    """``x`` [B, H, N, D], laid out as [B, N, H, D] in memory: what the next linear layer reads."""
    return x.transpose(1, 2).contiguous().transpose(1, 2)
