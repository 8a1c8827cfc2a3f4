"""`gated_attention`: the operator, its checks, and how torch sees it.

On CUDA it is Triton kernels, on the CPU plain PyTorch (`reference.py`). `triton_op` is made so that
torch.compile and AOTInductor take the kernels themselves into a graph; shown without a GPU is that tracing
finds them there and what each writes. torch.export keeps the operator by name. Without Triton, which only
CUDA builds of torch need, it is a plain custom operator and runs on the CPU alone.

Refuses, before anything is launched: what the kernels do not support, and what does not fit together.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op, triton_op

from kernels.attention import reference
from kernels.attention.checks import check, split_heads
from kernels.attention.launch import by_token

try:
    from kernels.attention.backward import gradients
    from kernels.attention.forward import attend
except ModuleNotFoundError as missing:
    if missing.name != "triton":
        raise
    TRITON = False
    define: Callable[..., Callable[[Callable[..., Any]], Any]] = custom_op
else:
    TRITON = True
    define = triton_op


def gated_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: Tensor,
    *,
    lengths: Tensor | None = None,
    scale: float | None = None,
    straight_through: bool = False,
) -> Tensor:
    """Compute gates · softmax(scale · q kᵀ) v for every sample and head, each under its own gate.

    q [B, H, N_q, D] and k, v [B, H, N_k, D], or all three as [B, N, H·D], the layout of a linear layer's
    output; nothing is copied, any strides do as long as D is contiguous. float16, bfloat16 or float32 (on
    the CPU float64 too); sums are float32. D is one of 32, 40, 64, 80, 128, 160.

    `gates` [B, H], floating point: 0 closes a head, 1 leaves it, anything else scales it. A closed head's
    output is zero, and its q, k and v are not read: it costs the zeros.
    `lengths` [B], int32 or int64: sample b attends to its first lengths[b] keys, clamped to 0 … N_k: for
    text padded at its end; other masks there are none. A sample with no keys has zero output and zero
    gradients. Default: all keys.
    `scale`: default 1/√D.

    Gradients go to q, k, v and gates. An open gate gets dgate = Σ grad ∘ head output. A closed one gets 0,
    because its head's output was not computed, unless `straight_through`: then it gets the same formula,
    which is the exact derivative at 0 and what a straight-through or annealed gate learns from, and the
    backward pass computes that output, at the cost of a live head's forward pass. q, k and v of a closed
    head get 0 either way, which is exact. There are no second derivatives.

    Returns [B, H, N_q, D] (laid out in memory by token) or [B, N_q, H·D], as q came, in q's dtype.
    Raises ValueError for what does not fit or is not supported, before anything runs.
    """
    joined = q.ndim == 3
    if joined:
        q, k, v = (split_heads(name, x, gates) for name, x in {"q": q, "k": k, "v": v}.items())
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    check(q, k, v, gates, lengths, scale)
    if q.is_cuda and not TRITON:
        raise ValueError(f"q is on {q.device}, where gated attention needs Triton: install it, 3.6 or later")
    out: Tensor = _forward(q, k, v, gates, lengths, scale, straight_through)[0]
    return out.transpose(1, 2).flatten(2) if joined else out


def on_gpu(x: Tensor) -> bool:
    """Return whether the kernels run on `x`."""
    return x.is_cuda and TRITON


@define("aptp::gated_attention", mutates_args=())
def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: Tensor,
    lengths: Tensor | None,
    scale: float,
    straight_through: bool,
) -> tuple[Tensor, Tensor]:
    if on_gpu(q):
        with torch.cuda.device_of(q):  # type: ignore[no-untyped-call]
            return attend(q, k, v, gates, lengths, scale)
    return reference.attend(q, k, v, gates, lengths, scale)


@define("aptp::gated_attention_gradients", mutates_args=())
def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: Tensor,
    lengths: Tensor | None,
    out: Tensor,
    lse2: Tensor,
    scale: float,
    straight_through: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    options: dict[str, Any] = {"scale": scale, "straight_through": straight_through}
    if on_gpu(q):
        with torch.cuda.device_of(q):  # type: ignore[no-untyped-call]
            return gradients(grad, q, k, v, gates, lengths, out=out, lse2=lse2, **options)
    return reference.gradients(grad, q, k, v, gates, lengths, **options)


def _empty_output(q: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    return by_token(q), q.new_empty(q.shape[:3], dtype=torch.promote_types(q.dtype, torch.float32))


def _empty_gradients(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, gates: Tensor, *others: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return by_token(q), by_token(k), by_token(v), gates.new_empty(gates.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, gates, lengths, ctx.scale, ctx.straight_through = inputs
    ctx.save_for_backward(q, k, v, gates, lengths, *output)
    ctx.mark_non_differentiable(output[1])


def _differentiate(ctx: Any, grad: Tensor, of_lse2: Tensor | None) -> tuple[Tensor | None, ...]:
    found = _backward(grad, *ctx.saved_tensors, ctx.scale, ctx.straight_through)
    return *found, None, None, None


_forward.register_fake(_empty_output)
_backward.register_fake(_empty_gradients)
_forward.register_autograd(_differentiate, setup_context=_keep)
