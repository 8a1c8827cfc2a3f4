"""Inputs of gated attention, what the kernels make of them, and what they should."""

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from kernels.attention import op, reference

# ‖found − wanted‖ / ‖wanted‖ of the forward pass and of gradients, wanted in float64 from the same rounded
# inputs.
TOLERANCES = {
    torch.float32: (2e-6, 4e-6),
    torch.float16: (6e-4, 1e-3),
    torch.bfloat16: (5e-3, 8e-3),
}
# Up to D = 64 a GPU makes each float32 product of three in TF32, which leaves 2⁻²¹ of it, and adds in matrix
# units that cut off rather than round. The terms of a standard normal logit add up to 5 times its size, and
# P v or the chain of dS comes after: 5 · 2⁻²¹ · 2 = 5e-6, doubled, and thrice that for gradients. One TF32
# product where there should be three would still fail: it errs by 3e-4.
GPU_FLOAT32 = (1e-5, 3e-5)
NAMES = ("q", "k", "v", "gates")


@dataclass(frozen=True, slots=True)
class Problem:
    q: Tensor  # [B, H, N_q, D]
    k: Tensor  # [B, H, N_k, D]
    v: Tensor
    gates: Tensor  # [B, H]
    lengths: Tensor | None = None

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.q, self.k, self.v, self.gates

    @property
    def tolerance(self) -> float:
        """The tolerance of the output."""
        return self._tolerances[0]

    @property
    def gradient_tolerance(self) -> float:
        return self._tolerances[1]

    @property
    def _tolerances(self) -> tuple[float, float]:
        dtype = self.q.dtype
        return GPU_FLOAT32 if self.q.is_cuda and dtype == torch.float32 else TOLERANCES[dtype]

    def wide(self) -> "Problem":
        return replace(self, **{name: x.double() for name, x in zip(NAMES, self.tensors, strict=True)})

    def attended(self, **options: Any) -> Tensor:
        return op.gated_attention(*self.tensors, lengths=self.lengths, **options)

    def expected(self) -> Tensor:
        scale = self.q.shape[3] ** -0.5
        return reference.attend(*self.wide().tensors, self.lengths, scale)[0]

    def gradients(self, grad: Tensor, **options: Any) -> tuple[Tensor, ...]:
        leaves = [x.detach().requires_grad_() for x in self.tensors]
        out = op.gated_attention(*leaves, lengths=self.lengths, **options)
        return torch.autograd.grad(out, leaves, grad)

    def expected_gradients(self, grad: Tensor, straight_through: bool = False) -> tuple[Tensor, ...]:
        return reference.gradients(
            grad.double(),
            *self.wide().tensors,
            self.lengths,
            scale=self.q.shape[3] ** -0.5,
            straight_through=straight_through,
        )


def problem(
    queries: int,
    keys: int,
    width: int = 32,
    gates: Any = ((1.0, 0.0), (0.5, 1.0)),
    lengths: list[int] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    seed: int = 0,
) -> Problem:
    generator = torch.Generator().manual_seed(seed)
    gate = torch.tensor(gates)

    def normal(rows: int) -> Tensor:
        return torch.randn(*gate.shape, rows, width, generator=generator).to(device, dtype)

    count = None if lengths is None else torch.tensor(lengths, device=device)
    return Problem(normal(queries), normal(keys), normal(keys), gate.to(device), count)


def decided(queries: int, keys: int, width: int, *, device: str) -> Problem:
    """float16 whose logits lie far beyond float16, and whose softmax picks one key, in any arithmetic.

    Entries of q and k are ±256, so that every product and every sum of them is exact in float32, whatever the
    order; each query is one of the keys, whose logit is then above all others by at least 2·256² / √width.
    """
    given = problem(queries, keys, width, dtype=torch.float16, device=device)
    k = given.k.sign().mul_(256)
    return replace(given, q=k[:, :, :queries].clone(), k=k)


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted).norm() / wanted.norm())


class Fences:
    """Stands in for `Tensor.new_empty`: fills memory with NaN and puts canaries before and after it."""

    WIDTH, CANARY = 2**14, 12345.0  # elements: a block of 128 rows of two heads

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._original = Tensor.new_empty
        self._fenced: list[Tensor] = []
        patch.setattr(Tensor, "new_empty", lambda *args, **options: self._allocate(*args, **options))

    def _allocate(self, like: Tensor, size: Any, **options: Any) -> Tensor:
        if not isinstance(size, tuple):  # the interpreter's own
            return self._original(like, size, **options)
        count = math.prod(size)
        memory = self._original(like, count + 2 * self.WIDTH, **options).fill_(self.CANARY)
        self._fenced.append(memory)
        return memory[self.WIDTH : self.WIDTH + count].fill_(torch.nan).view(size)

    def check(self) -> None:
        for memory in self._fenced:
            edges = torch.cat((memory[: self.WIDTH], memory[-self.WIDTH :]))
            assert (edges == self.CANARY).all(), "a kernel wrote outside its output"
