"""Gated attention and what else computes attention in torch, on the same tensors.

The others know nothing of gates. A supernet without the kernel computes every head and multiplies after, so
at any live fraction it takes their time for all heads and more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.kernels import timing
from bench.kernels.shapes import Shape
from bench.kernels.timing import Work
from kernels.attention.op import gated_attention

BACKENDS = {
    "SDPA flash": SDPBackend.FLASH_ATTENTION,
    "SDPA cuDNN": SDPBackend.CUDNN_ATTENTION,
    "SDPA efficient": SDPBackend.EFFICIENT_ATTENTION,
    "SDPA math": SDPBackend.MATH,
}
LARGEST_ERROR = 5e-3  # bfloat16
MATH_LIMIT = 2**31  # bytes of logits above which the materialising backend is left out

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Inputs:
    """q, k, v [B, H, N, D] as a linear layer leaves them, and the gradient of the output. bfloat16, standard
    normal: zeros would run faster than real data.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    grad: Tensor

    @classmethod
    def draw(cls, shape: Shape, batch: int) -> Inputs:
        def normal(rows: int) -> Tensor:
            size = (batch, rows, shape.heads, shape.width)
            return torch.randn(size, device=timing.DEVICE, dtype=torch.bfloat16).transpose(1, 2)

        return cls(
            normal(shape.queries).requires_grad_(),
            normal(shape.keys).requires_grad_(),
            normal(shape.keys).requires_grad_(),
            normal(shape.queries),
        )


def live_heads(heads: int, fraction: float) -> int:
    """Of ``heads``, at least one."""
    return max(1, round(fraction * heads))


def live_gates(batch: int, heads: int, live: float) -> Tensor:
    """[B, H] of ones and zeros; ``live`` of all heads are ones, as evenly as whole heads allow."""
    generator = torch.Generator().manual_seed(0)
    total = live_heads(batch * heads, live)
    counts = [total // batch + (row < total % batch) for row in range(batch)]
    order = torch.rand(batch, heads, generator=generator).argsort(1).argsort(1)
    return (order < torch.tensor(counts)[:, None]).float()


def contenders(x: Inputs, fractions: Sequence[float], *, backward: bool, compiled: bool) -> dict[str, Work]:
    """Forward passes, or backward passes alone: the kernel at each live fraction, the others at 1."""
    batch, heads, queries, _ = x.q.shape
    logits = 4 * batch * heads * queries * x.k.shape[2]
    functions = {ours(fraction): _gated(live_gates(batch, heads, fraction)) for fraction in fractions}
    functions |= {
        name: _backend(backend)
        for name, backend in BACKENDS.items()
        if backend != SDPBackend.MATH or logits < MATH_LIMIT
    }
    if compiled:
        functions |= _compiled()
    make = _backward if backward else _forward
    return {name: make(function, x) for name, function in functions.items()}


def error(x: Inputs) -> float:
    """Of the kernel's output, relative, against float32 attention on the same numbers. Raises RuntimeError if
    it is too large for any timing to mean something.
    """
    with torch.no_grad():
        found = gated_attention(x.q, x.k, x.v, live_gates(*x.q.shape[:2], 1.0).to(timing.DEVICE))
        wanted = F.scaled_dot_product_attention(x.q.float(), x.k.float(), x.v.float())
    relative = float((found - wanted).norm() / wanted.norm())
    if not relative <= LARGEST_ERROR:
        raise RuntimeError(f"the kernel's error is {relative:.2g}, above {LARGEST_ERROR}: nothing is timed")
    return relative


def ours(fraction: float) -> str:
    return f"kernel, {fraction:.0%} live"


def _gated(gates: Tensor) -> Attend:
    gates = gates.to(timing.DEVICE).requires_grad_()
    return lambda q, k, v: gated_attention(q, k, v, gates)


def _backend(backend: SDPBackend) -> Attend:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v)

    return attend


def _compiled() -> dict[str, Attend]:
    from torch.nn.attention.flex_attention import flex_attention

    def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.mT * q.shape[3] ** -0.5).softmax(-1) @ v

    return {"FlexAttention": torch.compile(flex_attention), "torch.compile": torch.compile(plain)}


def _forward(function: Attend, x: Inputs) -> Work:
    def run() -> object:
        with torch.no_grad():
            return function(x.q, x.k, x.v)

    return run


def _backward(function: Attend, x: Inputs) -> Work:
    kept: list[Tensor] = []  # the forward pass, made by the first call

    def run() -> object:
        if not kept:
            kept.append(function(x.q, x.k, x.v))
        return torch.autograd.grad(kept[0], (x.q, x.k, x.v), x.grad, retain_graph=True)

    return run
