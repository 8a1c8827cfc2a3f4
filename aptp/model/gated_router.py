"""The published router, which compares prompts and codes as gates and not as scores.

Scores become gates as they do in the published training, and gates are compared in groups that count once
each (Ganjdanesh et al., arXiv 2406.12042, and its code). The noise that training draws is constant here:
zeros, or the one sample that the published evaluation repeats.
"""

import torch
from torch import Tensor

from aptp.model.gate_space import GateSpace
from aptp.model.router import Router
from aptp.space.architecture import THRESHOLD
from aptp.space.groups import Space

CERTAIN = 1e-6  # keeps the shares of depth gates away from 0 and 1, by addition, as published


class GatedRouter(Router):
    """A router over gates.

    Beside the tensors of `Router`: `noise` [D], added to scores; `ranks` int64 [depths], for each depth gate
    the index of the score that decides it, 0 for the one that is kept the longest; `temperature` and
    `offset`, each one number.

    `codes` are gates as `compared` gives them. Depth scores are those of ranks.
    """

    kind = "gated"
    noise: Tensor
    ranks: Tensor
    temperature: Tensor
    offset: Tensor
    group: Tensor
    first: Tensor
    columns: Tensor

    def __init__(self, width: int, space: Space, codes: int) -> None:
        super().__init__(width, space.size, codes)
        self._widths = space.width_gates
        self.register_buffer("noise", torch.zeros(space.size))
        self.register_buffer("ranks", torch.arange(len(space.depths)))
        self.register_buffer("temperature", torch.tensor(0.4))
        self.register_buffer("offset", torch.tensor(3.0))
        self.gates = GateSpace(space)
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
        logits = torch.cat([scores[:, : self._widths], falling(scores[:, self._widths :])], dim=1)
        soft = torch.sigmoid((logits + self.noise + self.offset) / self.temperature)
        depths = soft[:, self._widths :][:, self.ranks]
        return self.weighed(torch.cat([self._lifted(soft[:, : self._widths]), depths], dim=1))

    def weighed(self, gates: Tensor) -> Tensor:
        """Return soft gates [B, D] as they are compared."""
        found: Tensor = self.gates(gates, (gates >= THRESHOLD).to(gates.dtype))
        return found

    def _lifted(self, widths: Tensor) -> Tensor:
        """Raise a group's first gate by ½ where the whole group would round to 0."""
        empty = (widths[:, self.columns] < THRESHOLD).all(2)  # [B, groups]
        return widths + THRESHOLD * (empty[:, self.group] & self.first).to(widths.dtype)


def published_noise(space: Space, rows: int = 1) -> Tensor:
    """Return the Gumbel noise [rows, D] that the published evaluation adds to the scores of a batch: drawn
    from seed 0 anew for every group, the depth gates being one, whose noise is by rank.
    """
    sizes = [*(group.gates for group in space.widths), len(space.depths)]
    uniform = [torch.rand(rows, size, generator=torch.Generator().manual_seed(0)) for size in sizes]
    return -torch.log(-torch.log(torch.cat(uniform, dim=1) + 1e-20) + 1e-20)


def falling(scores: Tensor) -> Tensor:
    """Depth scores [B, depths] as logits of shares that fall from 1: the first is always kept."""
    shares = scores.softmax(1).cumsum(1).flip(1)
    return torch.log(shares + CERTAIN) - torch.log1p(CERTAIN - shares)


def _layout(space: Space) -> dict[str, Tensor]:
    """Return the `group` of each width gate, and whether it is the `first` there. `columns` [groups,
    largest]: the gates of each group, its first repeated where it has fewer.
    """
    sizes = torch.tensor([group.gates for group in space.widths])
    starts = sizes.cumsum(0) - sizes
    steps = torch.arange(int(sizes.max()))
    first = torch.zeros(space.width_gates, dtype=torch.bool)
    first[starts] = True
    return {
        "group": torch.arange(len(sizes)).repeat_interleave(sizes),
        "first": first,
        "columns": starts[:, None] + torch.where(steps < sizes[:, None], steps, 0),
    }
