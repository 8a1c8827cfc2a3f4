"""The gated supernet: one dense UNet that computes every architecture of its space.

Each gate acts where removing its channels is the same function, so that mask equals slice
exactly: on conv2's input for resnets (after norm2 and SiLU, where GroupNorm can neither cancel a gate nor
leak a bias), on to_out's input for heads, on the output projection's input for GEGLU chunks. Width gates
multiply; depth gates select. On a GPU heads are gated inside attention instead (`attention.py`).
"""

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from aptp.model.attention import GatedAttention
from aptp.space.groups import DepthGate, Kind, Space, WidthGroup
from runtime.errors import SpaceError


class GatedUNet(nn.Module):
    """`unet` under per-sample gates: the rows of a batch may follow different codes and depths.

    The wrapped UNet keeps its parameter names and gets hooks; it must not be called by itself while it is
    wrapped.
    """

    def __init__(self, unet: UNet2DConditionModel, space: Space) -> None:
        super().__init__()
        self.unet = unet
        self.space = space
        self._gates: Tensor | None = None
        for group, columns in space.columns():
            self._gate_width(group, columns)
        for gate, column in space.depth_columns():
            self._gate_depth(gate, column)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        gates: Tensor,
        **conditions: Any,
    ) -> Tensor:
        """Return the UNet's output [B, C, H, W] for each sample under its own row of `gates` [B, D].

        Entries are 0 (dropped), 1 (kept) or between (soft). Raises SpaceError if `gates` does not match
        the batch and space.
        """
        if gates.shape != (sample.shape[0], self.space.size):
            raise SpaceError(
                f"gates of shape {list(gates.shape)} do not fit a batch of {sample.shape[0]} "
                f"in a space of {self.space.size} gates"
            )
        self._gates = gates
        output: Tensor = self.unet(sample, timestep, encoder_hidden_states, return_dict=False, **conditions)[
            0
        ]
        # Gradient checkpointing runs parts of the call again during backward, under the same gates.
        if not output.requires_grad:
            self._gates = None
        return output

    def _gate_width(self, group: WidthGroup, columns: slice) -> None:
        def multiply(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            x, *rest = args
            mask = self._current(x)[:, columns].repeat_interleave(group.chunk, dim=1)  # [B, channels]
            mask = mask[:, :, None, None] if group.kind is Kind.RESNET else mask[:, None, :]
            return (x * mask, *rest)

        module = self.unet.get_submodule(group.module)
        module.get_submodule(GATED_INPUT[group.kind]).register_forward_pre_hook(multiply)
        if isinstance(module, Attention):
            module.set_processor(GatedAttention(lambda: self._set()[:, columns], module.processor))

    def _gate_depth(self, gate: DepthGate, column: int) -> None:
        def select(module: nn.Module, args: tuple[Tensor, ...], output: Any) -> Any:
            block = output[0] if isinstance(output, tuple) else output
            depth = self._current(block)[:, column].view(-1, *[1] * (block.ndim - 1))
            chosen = SelectDepth.apply(  # type: ignore[no-untyped-call]
                depth, block, args[0][:, : gate.channels]
            )
            return (chosen, *output[1:]) if isinstance(output, tuple) else chosen

        self.unet.get_submodule(gate.module).register_forward_hook(select)

    def _set(self) -> Tensor:
        assert self._gates is not None, "hooks run only inside forward"
        return self._gates

    def _current(self, like: Tensor) -> Tensor:
        return self._set().to(like.dtype)


GATED_INPUT = {
    Kind.RESNET: "conv2",
    Kind.SELF_ATTENTION: "to_out.0",
    Kind.CROSS_ATTENTION: "to_out.0",
    Kind.FEED_FORWARD: "net.2",
}


class SelectDepth(torch.autograd.Function):
    """A block that a depth gate blends with the identity: d·block + (1 − d)·identity.

    A hard gate selects rather than multiplies by zero, so that a dropped branch that overflowed cannot
    poison the sum. The gradient is that of the blend everywhere: it is what a straight-through depth gate
    needs.
    """

    @staticmethod
    def forward(ctx: Any, depth: Tensor, block: Tensor, identity: Tensor) -> Tensor:
        ctx.save_for_backward(depth, block, identity)
        blend = torch.lerp(identity, block, depth.expand_as(block))
        return torch.where(depth == 1, block, torch.where(depth == 0, identity, blend))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grad,) = grads
        depth, block, identity = ctx.saved_tensors
        to_depth = (grad * (block - identity)).flatten(1).sum(1).view_as(depth)
        return to_depth, grad * depth, grad * (1 - depth)
