"""Batches in slices: a UNet runs on a few rows at a time, and learns what the whole batch teaches.

Whatever looks at the whole batch (routes, transport, contrast, the power of blocks) does so outside. A
slice's loss is its part of a sum over rows, so the gradients of slices add up to the batch's.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor


def slices(rows: int, at_once: int | None) -> list[slice]:
    """Cut `rows` rows into slices of `at_once`; None: one slice of them all."""
    step = at_once or max(rows, 1)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Return the rows of all slices."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


class SlicedGradient:
    """The gradient of `tensors`, summed over the losses of slices.

    `add` computes a slice's at once, so that its graph can go before the next slice has one. It leaves no
    gradient in leaves: `loss` brings the sum into the graph of the whole batch, where processes share it.
    `scale`: losses are multiplied by it meanwhile, so that float16 holds their gradients.
    """

    def __init__(self, tensors: Iterable[Tensor], scale: float = 1.0) -> None:
        self._tensors, self._scale = list(tensors), scale
        self._sums: list[Tensor | None] = [None] * len(self._tensors)

    def add(self, loss: Tensor) -> None:
        """Add the gradient of a slice's scalar `loss`; nothing where gradients are off."""
        if not loss.requires_grad:
            return
        with torch.autocast(loss.device.type, enabled=False):  # forward passes alone are autocast
            found = torch.autograd.grad(loss * self._scale, self._tensors, allow_unused=True)
        for i, gradient in enumerate(found):
            known = self._sums[i]
            if gradient is not None:
                self._sums[i] = gradient if known is None else known + gradient

    def loss(self) -> Tensor:
        """Return a scalar 0 whose gradient is the sum; zeros where no slice used a tensor."""
        zero: Tensor = _Known.apply(self._sums, self._scale, *self._tensors)  # type: ignore[no-untyped-call]
        return zero


class _Known(torch.autograd.Function):
    """Zero, with a gradient that is known already."""

    @staticmethod
    def forward(ctx: Any, gradients: list[Tensor | None], scale: float, *tensors: Tensor) -> Tensor:
        ctx.gradients, ctx.scale = gradients, scale
        ctx.save_for_backward(*tensors)
        return torch.zeros((), device=tensors[0].device)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Any:
        found: list[Tensor | None] = [None, None]
        for i, tensor in enumerate(ctx.saved_tensors):
            gradient, ctx.gradients[i] = ctx.gradients[i], None  # one at a time, for memory's sake
            found.append(torch.zeros_like(tensor) if gradient is None else gradient * (upstream / ctx.scale))
        return tuple(found)
