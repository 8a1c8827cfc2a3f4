"""The gate space in which the published router compares prompts and codes.

This is the published normalisation (Ganjdanesh et al., arXiv 2406.12042, and its code): the gates of a
sublayer that may be skipped are soft and count as its depth gate does, all others are hard; each group of
widths counts once whatever its size, and each depth gate is a group.
"""

import torch
from torch import Tensor, nn

from aptp.space.groups import Space


class GateSpace(nn.Module):
    """The comparison of gates; it has no parameters and no state."""

    scale: Tensor
    owner: Tensor

    def __init__(self, space: Space) -> None:
        super().__init__()
        self._widths = space.width_gates
        sizes = torch.tensor([group.gates for group in space.widths])
        scale = torch.ones(space.size)
        scale[: self._widths] = sizes.float().rsqrt().repeat_interleave(sizes)
        # Of each width gate: the depth gate of its sublayer, or one more than there are where it has none.
        owners = torch.tensor([len(space.depths) if owner is None else owner for owner in space.owner])
        self.register_buffer("scale", scale, persistent=False)  # [D]
        self.register_buffer("owner", owners.repeat_interleave(sizes), persistent=False)  # [width gates]

    def forward(self, soft: Tensor, hard: Tensor) -> Tensor:
        """Return [B, D], from `soft` gates [B, D] and the `hard` ones they round to."""
        depths = torch.cat([soft[:, self._widths :], torch.ones_like(soft[:, :1])], dim=1)
        skippable = soft[:, : self._widths] * depths[:, self.owner]
        always = self.owner == depths.shape[1] - 1
        widths = torch.where(always, hard[:, : self._widths], skippable)
        return torch.cat([widths, hard[:, self._widths :]], dim=1) * self.scale
