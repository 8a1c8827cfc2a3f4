"""A smaller UNet made to answer as the dense one does: the distances that both stages minimise.

Owns where they are measured: at the output, and after each down, mid and up block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

EPSILON = 1e-6  # keeps a block that is silent in the teacher from dividing by zero


@contextmanager
def recorded(unet: UNet2DConditionModel) -> Iterator[list[Tensor]]:
    """Within, the list fills with the output [B, C, H, W] of each down, mid and up block of ``unet``.

    Calls within follow one another in it; it is the caller's to clear.
    """
    outputs: list[Tensor] = []

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)  # a down block also gives skips

    blocks = [*unet.down_blocks, *([unet.mid_block] if unet.mid_block is not None else []), *unet.up_blocks]
    handles = [block.register_forward_hook(keep) for block in blocks]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def output_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference, in float32."""
    return output_distances(student, teacher).mean()


def block_distance(student: Sequence[Tensor], teacher: Sequence[Tensor], *, relative: bool) -> Tensor:
    """Mean over blocks of `output_distance`.

    ``relative``: each in units of the teacher's mean square there. Activations grow with depth, and without
    it the few loudest blocks are the whole loss.
    """
    return block_distances(student, teacher, relative=relative).mean()


def output_distances(student: Tensor, teacher: Tensor) -> Tensor:
    """`output_distance` of each sample, [B]."""
    return (student.float() - teacher.detach().float()).square().flatten(1).mean(1)


def block_distances(student: Sequence[Tensor], teacher: Sequence[Tensor], *, relative: bool) -> Tensor:
    """`block_distance` of each sample, [B]; the teacher's power is that of the whole batch."""
    assert len(student) == len(teacher) > 0, "both are the blocks of one geometry"
    distances = []
    for mine, theirs in zip(student, teacher, strict=True):
        power = theirs.detach().float().square().mean() + EPSILON if relative else 1.0
        distances.append(output_distances(mine, theirs) / power)
    return torch.stack(distances).mean(0)
