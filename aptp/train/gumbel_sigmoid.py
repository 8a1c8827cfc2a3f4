"""The Gumbel-sigmoid relaxation: from scores to soft gates between 0 and 1, and to hard ones.

These are the rules that every architecture obeys while it is learned; `aptp.space.architecture.harden` is the
same rules for one finished code, and the two agree to the bit.
"""

from math import gcd
from typing import NamedTuple

import torch
from torch import Tensor, nn

from aptp.model.gated_router import falling
from aptp.space.architecture import THRESHOLD
from aptp.space.groups import Kind, Space
from aptp.train.method import Method


class SampledGates(NamedTuple):
    """Gates of a batch.

    `soft`: [B, D] in (0, 1). `hard`: [B, D] of zeros and ones, with the gradient of `soft`.
    """

    soft: Tensor
    hard: Tensor


class Relaxation(nn.Module):
    """The relaxation of scores [B, D] to gates, as `method` says. It has no parameters."""

    order: Tensor

    def __init__(self, space: Space, method: Method) -> None:
        super().__init__()
        self._widths = space.width_gates
        self._method = method
        self._kinds = _kinds(space, method.align)
        for i, (columns, _) in enumerate(self._kinds):
            self.register_buffer(f"columns{i}", columns, persistent=False)
        self.register_buffer("order", torch.tensor(keeping_order(space)).long(), persistent=False)

    def forward(self, scores: Tensor, noise: Tensor | None = None) -> SampledGates:
        """Relax the scores after adding `noise` [B, D]."""
        soft = torch.sigmoid(self.logits(scores, noise) / self._method.temperature)
        if not self._method.hard:
            soft = self._lifted(soft)
        hard = self.legal(soft.detach())
        return SampledGates(soft, hard + (soft - soft.detach()))

    def logits(self, scores: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return [B, D]; a gate whose logit is above 0 is kept."""
        if self._method.ordered_depth:
            depths = torch.empty_like(scores[:, self._widths :])
            depths[:, self.order] = falling(scores[:, self._widths :])
            scores = torch.cat([scores[:, : self._widths], depths], dim=1)
        return scores + self._method.offset + (0.0 if noise is None else noise)

    def legal(self, scores: Tensor) -> Tensor:
        """Return the hard gates of `scores` [B, D]: above ½ is kept, in each group at least the best, and
        with alignment the best up to the next multiple. Ties go to the lower index.
        """
        keep = (scores > THRESHOLD).to(scores.dtype)
        for i, (_, step) in enumerate(self._kinds):
            columns = self._columns(i)  # [groups, gates]
            found = scores[:, columns]  # [B, groups, gates]
            wanted = keep[:, columns].sum(-1, keepdim=True).clamp(min=1)
            wanted = torch.ceil(wanted / step) * step
            ranks = found.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
            keep[:, columns] = (ranks < wanted).to(keep.dtype)
        return keep

    def _columns(self, i: int) -> Tensor:
        columns: Tensor = getattr(self, f"columns{i}")
        return columns

    def _lifted(self, soft: Tensor) -> Tensor:
        """Apply the published at-least-one rule: where a whole group rounds to 0, its first gate is raised by
        ½.
        """
        raised = torch.zeros_like(soft)
        for i in range(len(self._kinds)):
            columns = self._columns(i)
            empty = (soft[:, columns] <= THRESHOLD).all(-1)  # [B, groups]
            raised[:, columns[:, 0]] = THRESHOLD * empty.to(soft.dtype)
        return soft + raised


def gumbel(uniform: Tensor) -> Tensor:
    """Return standard Gumbel noise (one-sided, as published) from numbers of 0 up to 1."""
    return -torch.log(-torch.log(uniform.clamp(min=torch.finfo(torch.float32).tiny, max=1 - 1e-7)))


def keeping_order(space: Space) -> list[int]:
    """Depth gates by how long the published method keeps them: from the outermost blocks to the innermost,
    up blocks before down blocks, and in each the sublayer nearest to input or output first.
    """
    last_up = max((_index(group.module, "up_blocks") for group in space.widths), default=-1)

    def outermost_first(position: int) -> tuple[float, int, int]:
        module = space.depths[position].module
        down, up = _index(module, "down_blocks"), _index(module, "up_blocks")
        if up >= 0:
            return last_up - up, 0, -position
        return (down, 1, position) if down >= 0 else (float("inf"), 1, position)

    return sorted(range(len(space.depths)), key=outermost_first)


def _index(module: str, blocks: str) -> int:
    name, _, rest = module.partition(".")
    return int(rest.partition(".")[0]) if name == blocks else -1


def _kinds(space: Space, align: int) -> list[tuple[Tensor, int]]:
    """Return the groups that can be treated as one: the columns [groups, gates] of those with as many gates,
    and the number of gates that their kept count is rounded up to.
    """
    found: dict[tuple[int, int], list[Tensor]] = {}
    for group, columns in space.columns():
        step = align // gcd(group.chunk, align) if group.kind in (Kind.RESNET, Kind.FEED_FORWARD) else 1
        found.setdefault((group.gates, step), []).append(torch.arange(columns.start, columns.stop))
    return [(torch.stack(groups), step) for (_, step), groups in found.items()]
