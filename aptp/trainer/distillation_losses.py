"""Distillation: the distances between a smaller UNet and the dense one that both stages minimise.

The distances are measured at the output, and after each down, mid and up block.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from aptp.trainer import distributed

EPSILON = 1e-6  # keeps a block that is silent in the teacher from dividing by zero


@contextmanager
def recorded(unet: UNet2DConditionModel) -> Iterator[list[Tensor]]:
    """Within, the list fills with the output [B, C, H, W] of each down, mid and up block of `unet`.

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


def output_distances(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of each sample [B], in float32."""
    return (student.float() - teacher.detach().float()).square().flatten(1).mean(1)


def block_distances(student: Sequence[Tensor], teacher: Sequence[Tensor], power: Tensor | None) -> Tensor:
    """Return the mean over blocks of `output_distances`, [B]; each in units of the teacher's `power` there,
    [blocks].

    Activations grow with depth, and without `power` the few loudest blocks are the whole loss.
    """
    assert len(student) == len(teacher) > 0, "both are the blocks of one geometry"
    distances = torch.stack([output_distances(*pair) for pair in zip(student, teacher, strict=True)])
    return (distances if power is None else distances / power.unsqueeze(1)).mean(0)


def powers(teacher: Sequence[Tensor], share: Tensor) -> Tensor:
    """Return [blocks]: mean square of the teacher's blocks over the rows of every process, each of which
    counts as its `share` [B] says.
    """
    squares = torch.stack([block.detach().float().square().flatten(1).mean(1) for block in teacher])
    # Not a product of matrices, which autocast would round.
    return distributed.total((squares * share).sum(1)) + EPSILON
