"""Gated attention and other implementations of attention in torch, on the same tensors.

Two rivals pay for live heads only, as the kernel does: FlexAttention, whose block mask has no blocks where a
head is closed, and SDPA on the live heads, gathered into one long batch and scattered back. Both get for
nothing what depends on the gates, mask and indices, which a new batch of codes would make anew. SDPA's
backends and torch.compile know nothing of gates: at any live fraction they take their time for all heads.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from bench.kernels import timing
from bench.kernels.shapes import Shape
from bench.kernels.timing import KernelWork
from kernels.attention.op import gated_attention

KERNEL, FLEX, GATHERED = "kernel", "FlexAttention", "gathered heads"
SKIPPING = (KERNEL, FLEX, GATHERED)
STRAIGHT_THROUGH = "kernel, 50% live, straight-through"
BACKENDS = {
    "SDPA flash": SDPBackend.FLASH_ATTENTION,
    "SDPA cuDNN": SDPBackend.CUDNN_ATTENTION,
    "SDPA efficient": SDPBackend.EFFICIENT_ATTENTION,
    "SDPA math": SDPBackend.MATH,
}
# Relative, in bfloat16, of the output and of the gradients.
LARGEST_ERROR = {"out": 5e-3, "dq": 8e-3, "dk": 8e-3, "dv": 8e-3}
MOST_LOGITS = 2**33  # bytes in float32, above which what materialises them is left out
MOST_SETS = 256

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
Context = Callable[[], AbstractContextManager[object]]  # entered once for all inputs


@dataclass(frozen=True, slots=True)
class Inputs:
    """q, k, v [B, H, N, D] as a linear layer leaves them, and the gradient of the output. bfloat16, standard
    normal: zeros would run faster than real data.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    grad: Tensor

    @classmethod
    def draw(cls, shape: Shape, batch: int) -> "Inputs":
        def normal(rows: int) -> Tensor:
            size = (batch, rows, shape.heads, shape.width)
            return torch.randn(size, device=timing.DEVICE, dtype=torch.bfloat16).transpose(1, 2)

        return cls(
            normal(shape.queries).requires_grad_(),
            normal(shape.keys).requires_grad_(),
            normal(shape.keys).requires_grad_(),
            normal(shape.queries),
        )

    @classmethod
    def sets(cls, shape: Shape, batch: int, cached: int) -> "list[Inputs]":
        """Return as many inputs as it takes that none is found in a cache of `cached` bytes when its turn
        comes again.
        """
        count = -(-2 * cached // round(shape.traffic(batch, 1.0)))
        return [cls.draw(shape, batch) for _ in range(min(max(1, count), MOST_SETS))]


def at(what: str, fraction: float) -> str:
    return f"{what}, {fraction:.0%} live"


def live_heads(heads: int, fraction: float) -> int:
    """Return how many of `heads` are live, at least one."""
    return max(1, round(fraction * heads))


def live_gates(batch: int, heads: int, live: float) -> Tensor:
    """Return [B, H] of ones and zeros; `live` of all heads are ones, as evenly as whole heads allow."""
    generator = torch.Generator().manual_seed(0)
    total = live_heads(batch * heads, live)
    counts = [total // batch + (row < total % batch) for row in range(batch)]
    order = torch.rand(batch, heads, generator=generator).argsort(1).argsort(1)
    return (order < torch.tensor(counts)[:, None]).float().to(timing.DEVICE)


def contenders(
    sets: Sequence[Inputs], fractions: Sequence[float], *, backward: bool, compiled: bool
) -> dict[str, KernelWork]:
    """Return forward passes, or backward passes alone: those in SKIPPING at each live fraction, the others at
    1.
    """
    batch, heads, queries, _ = sets[0].q.shape
    keys = sets[0].k.shape[2]
    materialising = 4 * batch * heads * queries * keys <= MOST_LOGITS
    works = {}
    make = _backward if backward else _forward
    for name, function in _skipping(batch, heads, queries, keys, fractions):
        if compiled or not name.startswith(FLEX):
            works[name] = make(function, sets)
    if backward:
        works[STRAIGHT_THROUGH] = make(_gated(live_gates(batch, heads, 0.5), straight_through=True), sets)
    for name, backend in BACKENDS.items():
        if materialising or backend != SDPBackend.MATH:
            works[name] = make(F.scaled_dot_product_attention, sets, partial(sdpa_kernel, backend))
    if compiled and materialising:
        works["torch.compile"] = make(torch.compile(_plain, dynamic=False), sets)
    return works


def errors(x: Inputs) -> dict[str, float]:
    """Return the kernel's errors, relative, against float32 attention on the same numbers: the larger of
    those with all heads live and with gates of many values. Raises RuntimeError if one is too large for any
    timing to mean something.
    """
    inputs = (x.q, x.k, x.v)
    wide = [y.detach().float().requires_grad_() for y in inputs]
    batch, heads = x.q.shape[:2]
    found = dict.fromkeys(LARGEST_ERROR, 0.0)
    for gates in (
        live_gates(batch, heads, 1.0),
        live_gates(batch, heads, 0.5) * torch.linspace(0.5, 2, heads).to(x.q.device),
    ):
        out = gated_attention(*inputs, gates)
        wanted = F.scaled_dot_product_attention(wide[0], wide[1], wide[2]) * gates[:, :, None, None]
        ours = (out, *torch.autograd.grad(out, inputs, x.grad))
        theirs = (wanted, *torch.autograd.grad(wanted, wide, x.grad.float()))
        for name, one, other in zip(found, ours, theirs, strict=True):
            relative = float((one - other).detach().norm() / other.detach().norm())
            if not relative <= LARGEST_ERROR[name]:
                limit = LARGEST_ERROR[name]
                raise RuntimeError(f"the error of {name} is {relative:.2g}, above {limit}: nothing is timed")
            found[name] = max(found[name], relative)
    return found


def _skipping(
    batch: int, heads: int, queries: int, keys: int, fractions: Sequence[float]
) -> Iterator[tuple[str, Attend]]:
    for fraction in fractions:
        gates = live_gates(batch, heads, fraction)
        yield at(KERNEL, fraction), _gated(gates)
        yield at(GATHERED, fraction), _gathered(gates)
        yield at(FLEX, fraction), _flex(gates, queries, keys)


def _gated(gates: Tensor, *, straight_through: bool = False) -> Attend:
    gates = gates.clone().requires_grad_()
    return lambda q, k, v: gated_attention(q, k, v, gates, straight_through=straight_through)


def _gathered(gates: Tensor) -> Attend:
    live = gates.nonzero(as_tuple=True)
    factors = gates[live].to(torch.bfloat16)[:, None, None]

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = torch.zeros_like(q)
        # Each of [1, live, N, D].
        out[live] = F.scaled_dot_product_attention(q[live][None], k[live][None], v[live][None])[0] * factors
        return out

    return attend


def _flex(gates: Tensor, queries: int, keys: int) -> Attend:
    batch, heads = gates.shape
    factors = gates.to(torch.bfloat16)[:, :, None, None]

    @cache
    def compiled() -> Attend:  # by the first call, which may fail by itself
        mask = create_block_mask(
            lambda b, h, i, j: gates[b, h] != 0, batch, heads, queries, keys, device=timing.DEVICE
        )
        return torch.compile(
            lambda q, k, v: flex_attention(q, k, v, block_mask=mask) * factors, dynamic=False
        )

    return lambda q, k, v: compiled()(q, k, v)


def _plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mixed: Tensor = (q @ k.mT * q.shape[3] ** -0.5).softmax(-1) @ v
    return mixed


def _forward(function: Attend, sets: Sequence[Inputs], context: Context = nullcontext) -> KernelWork:
    def run() -> None:
        with torch.no_grad(), context():
            for x in sets:
                function(x.q, x.k, x.v)

    return KernelWork(run, len(sets))


def _backward(function: Attend, sets: Sequence[Inputs], context: Context = nullcontext) -> KernelWork:
    kept: list[Tensor] = []  # the forward passes, made by the first run

    def run() -> None:
        if not kept:
            with context():
                kept.extend(function(x.q, x.k, x.v) for x in sets)
        for out, x in zip(kept, sets, strict=True):
            torch.autograd.grad(out, (x.q, x.k, x.v), x.grad, retain_graph=True)

    return KernelWork(run, len(sets))
