"""The published router: prompts and codes meet as gates, not as scores.

Scores become gates as they do in the published training, and gates are compared in groups that count once
each (Ganjdanesh et al., arXiv 2406.12042, and its code). The noise that training draws is constant here:
zeros, or the one sample that the published evaluation repeats.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aptp.model.router import Router
from aptp.space.architecture import THRESHOLD
from aptp.space.groups import Space

CERTAIN = 1e-6  # keeps the shares of depth gates away from 0 and 1, by addition, as published


class GatedRouter(Router):
    """Beside those of `Router`: ``noise`` [D], added to scores; ``ranks`` int64 [depths], for each depth gate
    the index of the score that decides it, 0 for the one that is kept the longest; ``temperature`` and
    ``offset``, each one number.

    ``codes`` are gates as `compared` gives them. Depth scores are those of ranks.
    """

    kind = "gated"
    noise: Tensor
    ranks: Tensor
    temperature: Tensor
    offset: Tensor
    group: Tensor
    first: Tensor
    columns: Tensor
    scale: Tensor
    owner: Tensor

    def __init__(self, width: int, space: Space, codes: int) -> None:
        super().__init__(width, space.size, codes)
        self._widths = space.width_gates
        self.register_buffer("noise", torch.zeros(space.size))
        self.register_buffer("ranks", torch.arange(len(space.depths)))
        self.register_buffer("temperature", torch.tensor(0.4))
        self.register_buffer("offset", torch.tensor(3.0))
        for name, tensor in _layout(space).items():
            self.register_buffer(name, tensor, persistent=False)

    def check(self) -> None:
        super().check()
        if not torch.equal(self.ranks.sort().values, torch.arange(len(self.ranks))):
            raise ValueError(f"ranks {self.ranks.tolist()} are no order of the depth gates")
        if self.temperature <= 0:
            raise ValueError(f"temperature is {float(self.temperature):g}; it must be above 0")

    def compared(self, pooled: Tensor) -> Tensor:
        scores: Tensor = self.predictor(pooled)
        logits = torch.cat([scores[:, : self._widths], self._falling(scores[:, self._widths :])], dim=1)
        soft = torch.sigmoid((logits + self.noise + self.offset) / self.temperature)
        depths = soft[:, self._widths :][:, self.ranks]
        return self.weighed(torch.cat([self._lifted(soft[:, : self._widths]), depths], dim=1))

    def weighed(self, gates: Tensor) -> Tensor:
        """Soft gates [B, D] as they are compared: hard, but for those of a sublayer that may be skipped,
        which are the product with its depth gate; and each divided by the root of its group's size.
        """
        hard = (gates >= THRESHOLD).to(gates.dtype)
        alive = torch.cat([gates[:, self._widths :], torch.ones_like(gates[:, :1])], dim=1)
        widths = gates[:, : self._widths] * alive[:, self.owner]
        always = self.owner == alive.shape[1] - 1
        widths = torch.where(always, hard[:, : self._widths], widths)
        return torch.cat([widths, hard[:, self._widths :]], dim=1) * self.scale

    def _falling(self, scores: Tensor) -> Tensor:
        """Depth scores [B, depths] as logits of shares that fall from 1: the first is always kept."""
        shares = scores.softmax(1).cumsum(1).flip(1)
        return torch.log(shares + CERTAIN) - torch.log1p(CERTAIN - shares)

    def _lifted(self, widths: Tensor) -> Tensor:
        """Where a whole group would round to 0, its first gate is raised by ½."""
        empty = (widths[:, self.columns] < THRESHOLD).all(2)  # [B, groups]
        return widths + THRESHOLD * (empty[:, self.group] & self.first).to(widths.dtype)


def _layout(space: Space) -> dict[str, Tensor]:
    """Of each width gate: its ``group``, whether it is the ``first`` there, and its ``owner``, the depth gate
    of its sublayer (the number of depth gates, where it has none). ``columns`` [groups, largest]: the gates
    of each group, its first repeated where it has fewer. ``scale`` [D].
    """
    sizes = torch.tensor([group.gates for group in space.widths])
    starts = sizes.cumsum(0) - sizes
    steps = torch.arange(int(sizes.max()))
    owners = [len(space.depths) if owner is None else owner for owner in space.owner]
    first = torch.zeros(space.width_gates, dtype=torch.bool)
    first[starts] = True
    scale = torch.ones(space.size)
    scale[: space.width_gates] = sizes.float().rsqrt().repeat_interleave(sizes)
    return {
        "group": torch.arange(len(sizes)).repeat_interleave(sizes),
        "first": first,
        "owner": torch.tensor(owners).repeat_interleave(sizes),
        "columns": starts[:, None] + torch.where(steps < sizes[:, None], steps, 0),
        "scale": scale,
    }
