"""Gated attention in plain PyTorch: the kernels' specification, and the kernel of the CPU.

    out = gate · softmax(scale · q kᵀ) v, over the first `length` keys of each sample

A head whose gate is exactly zero, and every head of a sample without keys, is *closed*: its output is zero
whatever its q, k and v hold, and so are their gradients. Products and sums are in float32, or float64 for
float64 inputs. The logits are materialised, B·H·N_q·N_k of them: right for a test and for the CPU's small
networks, wrong for a GPU.
"""

import math

import torch
from torch import Tensor

LOG2_E = math.log2(math.e)


def attend(
    q: Tensor, k: Tensor, v: Tensor, gates: Tensor, lengths: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """Return the output [B, H, N_q, D] in q's dtype, and log2 of each query's sum of exponentials [B, H,
    N_q].

    `q` [B, H, N_q, D], `k` and `v` [B, H, N_k, D], `gates` [B, H], `lengths` [B] or None for all
    keys. Differentiable; the second output, which is 0 where the head is closed, is not meant to be.
    """
    wide_q, wide_k, wide_v = _widened(q, k, v, lengths)
    weights, lse2, empty = _softmax(wide_q, wide_k, lengths, scale)
    closed = empty | (gates == 0)[:, :, None, None]
    out = (gates[:, :, None, None].to(weights.dtype) * (weights @ wide_v)).masked_fill(closed, 0)
    return _by_token(out.to(q.dtype)), lse2.masked_fill(closed[..., 0], 0)


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
    """Return the gradients of q, k, v (in their dtypes) and of the gates [B, H] (in theirs), given `grad` [B,
    H, N_q, D].

    With P the softmax and dP = grad · vᵀ, both per head:

        dv = gate · Pᵀ grad,  dS = gate · P ∘ (dP − rowsum(P ∘ dP)),  dq = scale · dS k,  dk = scale · dSᵀ q
        dgate = Σ P ∘ dP, which for a gate of zero is given with `straight_through` and is 0 without
    """
    wide_q, wide_k, wide_v = _widened(q, k, v, lengths)
    weights, _, empty = _softmax(wide_q, wide_k, lengths, scale)
    grad, gate = grad.to(weights.dtype), gates[:, :, None, None].to(weights.dtype)
    closed = empty | (gates == 0)[:, :, None, None]
    along = grad @ wide_v.mT  # dP [B, H, N_q, N_k]
    pulled = (weights * along).sum(-1, keepdim=True)
    slopes = scale * gate * weights * (along - pulled)
    found = (slopes @ wide_k, slopes.mT @ wide_q, gate * (weights.mT @ grad))
    dq, dk, dv = (_by_token(x.masked_fill(closed, 0).to(q.dtype)) for x in found)
    silent = empty if straight_through else closed
    dgates = pulled.sum((2, 3)).masked_fill(silent[:, :, 0, 0], 0)
    return dq, dk, dv, dgates.to(gates.dtype)


def _widened(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return `x` in the dtype of the sums; keys and values beyond their sample's length are zeros."""
    dtype = torch.promote_types(q.dtype, torch.float32)
    q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    if lengths is not None:
        beyond = _beyond(k, lengths)[:, None, :, None]
        k, v = k.masked_fill(beyond, 0), v.masked_fill(beyond, 0)
    return q, k, v


def _softmax(q: Tensor, k: Tensor, lengths: Tensor | None, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weights [B, H, N_q, N_k], log2 of their sums [B, H, N_q], and which samples have no keys [B,
    1, 1, 1], whose weights mean nothing.
    """
    logits = scale * (q @ k.mT)
    if lengths is None:
        empty = torch.zeros((q.shape[0], 1, 1, 1), dtype=torch.bool, device=q.device)
    else:
        empty = (lengths <= 0)[:, None, None, None]
        logits = logits.masked_fill(_beyond(k, lengths)[:, None, None] & ~empty, -torch.inf)
    return logits.softmax(-1), logits.logsumexp(-1) * LOG2_E, empty


def _beyond(k: Tensor, lengths: Tensor) -> Tensor:
    """[B, N_k]"""
    return torch.arange(k.shape[2], device=k.device) >= lengths[:, None]


def _by_token(x: Tensor) -> Tensor:
    """Return `x` [B, H, N, D], laid out as [B, N, H, D] in memory: the layout that the next linear layer
    reads.
    """
    return x.transpose(1, 2).contiguous().transpose(1, 2)
