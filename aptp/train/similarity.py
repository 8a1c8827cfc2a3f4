"""The space in which prompts meet codes, and the score of every prompt for every code.

Two of them. The published one compares hardened gate vectors, so that a served router would have to harden
too. The linear one compares a prompt's raw scores with signed gate vectors: an inner product, which a served
router computes exactly and to which a price per code can be added.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aptp.space.groups import Space
from aptp.train.relaxation import Gates


class Similarity(nn.Module):
    """Both normalise widths and depths as published: the gates of a sublayer count as its depth gate does,
    and each group counts once whatever its size (the depth gates together are one group).
    """

    scale: Tensor
    owners: Tensor

    def __init__(self, space: Space, *, linear: bool) -> None:
        super().__init__()
        self.linear = linear
        self._widths = space.width_gates
        self._groups = len(space.widths) + bool(space.depths)
        sizes = [group.gates for group in space.widths for _ in range(group.gates)]
        sizes += [len(space.depths)] * len(space.depths)
        self.register_buffer("scale", torch.tensor(sizes).float().rsqrt(), persistent=False)  # [D]
        none = len(space.depths)
        owner = [none if i is None else i for i in space.owner]
        owners = [i for i, group in zip(owner, space.widths, strict=True) for _ in range(group.gates)]
        self.register_buffer("owners", torch.tensor(owners), persistent=False)  # [width gates]

    def prompts(self, scores: Tensor, gates: Gates | None) -> Tensor:
        """The vectors [B, D] of prompts with predicted ``scores`` [B, D] and, unless linear, their gates."""
        if self.linear:
            scaled: Tensor = scores * self.scale
            return scaled
        assert gates is not None, "the published space compares gates"
        return F.normalize(self._effective(gates.hard, gates.soft) * self.scale, dim=1)

    def codes(self, gates: Gates) -> Tensor:
        """The vectors [K, D] of codes, of length 1."""
        if self.linear:
            signs = 2 * self._effective(gates.hard, gates.hard) - 1
            unit: Tensor = signs * self.scale / self._groups**0.5
            return unit
        return F.normalize(self._effective(gates.hard, gates.soft) * self.scale, dim=1)

    def _effective(self, gates: Tensor, depths: Tensor) -> Tensor:
        """Width gates times the depth gate of the sublayer they are in."""
        alive = torch.cat([depths[:, self._widths :], torch.ones_like(gates[:, :1])], dim=1)
        return torch.cat([gates[:, : self._widths] * alive[:, self.owners], gates[:, self._widths :]], dim=1)
