"""The calls of a UNet's modules: the arguments that one UNet call passes to each, and modules that repeat
such a call alone.

A measured sublayer begins and ends here: with the norm before it, the sum behind it, the skip tensor joined
to its input, so that the pieces add up to the whole.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from aptp.space.macs import example_inputs


@dataclass(frozen=True, slots=True)
class TracedCall:
    """The arguments of one call of a module, flat: tensors among them lie on the meta device."""

    leaves: tuple[Any, ...]
    tree: pytree.TreeSpec

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "TracedCall":
        leaves, tree = pytree.tree_flatten((args, kwargs))
        return cls(tuple(leaves), tree)

    def __deepcopy__(self, memo: dict[int, Any]) -> "TracedCall":
        return self  # a copied module is called alike

    @property
    def shapes(self) -> list[torch.Size]:
        """The shapes of the tensors, in order."""
        return [leaf.shape for leaf in self.leaves if isinstance(leaf, Tensor)]

    def filled(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return arguments and keyword arguments, with `tensors` in the places of its own."""
        rest = iter(tensors)
        leaves = [next(rest) if isinstance(leaf, Tensor) else leaf for leaf in self.leaves]
        args, kwargs = pytree.tree_unflatten(leaves, self.tree)
        return args, kwargs


def record(
    unet: UNet2DConditionModel, rows: int, height: int, width: int, tokens: int
) -> dict[str, TracedCall]:
    """Return the call of every module that one call of `unet`, which lies on the meta device, passes through:
    by path, in order, `unet`'s own under "".
    """
    calls: dict[str, TracedCall] = {}

    def note(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            calls[path] = TracedCall.of(args, kwargs)

        return hook

    handles = [
        module.register_forward_pre_hook(note(path), with_kwargs=True)
        for path, module in unet.named_modules()
    ]
    try:
        with torch.no_grad():
            unet(**example_inputs(unet, height, width, tokens, rows), return_dict=False)
    finally:
        for handle in handles:
            handle.remove()
    return calls


class Replay(nn.Module):
    """A module that repeats `call` of `layer`, with other tensors."""

    def __init__(self, layer: nn.Module, call: TracedCall) -> None:
        super().__init__()
        self.layer = layer
        self._call = call

    @property
    def shapes(self) -> list[torch.Size]:
        """The shapes of the tensors it takes."""
        return self._call.shapes

    def forward(self, *tensors: Tensor) -> Tensor:
        args, kwargs = self._call.filled(tensors)
        output = self.layer(*args, **kwargs)
        found: Tensor = output[0] if isinstance(output, tuple) else output
        return found


class Joined(Replay):
    """A resnet of an up block that takes the residual stream, of `channels`, and the skip tensor apart."""

    def __init__(self, layer: nn.Module, call: TracedCall, channels: int) -> None:
        super().__init__(layer, call)
        self.channels = channels

    @property
    def shapes(self) -> list[torch.Size]:
        joined, *rest = super().shapes
        rows, total, *sides = joined
        return [torch.Size((rows, n, *sides)) for n in (self.channels, total - self.channels)] + rest

    @property
    def skippable(self) -> bool:
        """Whether the residual stream can bypass it."""
        return bool(self.channels == self.layer.out_channels)

    def forward(self, *tensors: Tensor) -> Tensor:
        stream, skip, *rest = tensors
        return super().forward(torch.cat([stream, skip], dim=1), *rest)


class ResidualCall(Replay):
    """A sublayer of a transformer block: its norm before it, the sum with its input behind it."""

    def __init__(self, layer: nn.Module, call: TracedCall, norm: nn.Module) -> None:
        super().__init__(layer, call)
        self.norm = norm

    def forward(self, *tensors: Tensor) -> Tensor:
        stream, *rest = tensors
        return stream + super().forward(self.norm(stream), *rest)
