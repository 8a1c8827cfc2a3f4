"""Cost models: the cost of an architecture, without running it.

`Cost` says what a cost model is; `LinearCost` counts: it is linear in the gates, because block inputs
and outputs are never pruned. One that was measured is in `table`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor, nn

from aptp.space.architecture import Architecture
from aptp.space.groups import Space
from aptp.space.macs import module_macs
from aptp.space.unet_config import check_resolution, check_supported


class Cost(Protocol):
    """A cost model over `space`. The unit is the model's own: MACs or seconds."""

    @property
    def space(self) -> Space: ...

    @property
    def base(self) -> float:
        """The cost that no gate can save."""

    @property
    def dense(self) -> float:
        """The cost with every gate kept."""

    def of(self, architecture: Architecture) -> float:
        """Return the cost of one architecture."""

    def __call__(self, gates: Tensor) -> Tensor:
        """Return the cost of each row of `gates` [B, D], differentiably (the budget loss needs its gradient).
        Returns [B].
        """


@dataclass(frozen=True, slots=True)
class LinearCost:
    """A linear cost: base + Σ over sublayers of depth · (fixed + Σ gate · per_gate).

    `base` is spent outside every depth gate; `fixed` [number of depth gates] inside one, whatever its
    widths; `per_gate` [width gates] by each width gate that is kept.
    """

    space: Space
    base: float
    fixed: NDArray[np.float64]
    per_gate: NDArray[np.float64]

    @property
    def dense(self) -> float:
        return float(self.base + self.fixed.sum() + self.per_gate.sum())

    def of(self, architecture: Architecture) -> float:
        """Return the cost of one architecture; exact for integer coefficients below 2⁵³."""
        widths, depths = np.split(architecture.keep.astype(np.float64), [self.space.width_gates])
        alive = np.append(depths, 1.0)[self._owners()]
        return float(self.base + self.fixed @ depths + self.per_gate @ (widths * alive))

    def __call__(self, gates: Tensor) -> Tensor:
        """Return the cost of each row of `gates` [B, D], differentiably. Returns [B]."""
        widths, depths = gates[:, : self.space.width_gates], gates[:, self.space.width_gates :]
        alive = torch.cat([depths, torch.ones_like(gates[:, :1])], dim=1)[:, torch.as_tensor(self._owners())]
        fixed, per_gate = (torch.as_tensor(c, dtype=gates.dtype) for c in (self.fixed, self.per_gate))
        cost: Tensor = depths @ fixed.to(gates.device) + (widths * alive) @ per_gate.to(gates.device)
        return cost + self.base

    def _owners(self) -> NDArray[np.intp]:
        """Return the column of each width gate's depth gate; one past the last where there is none."""
        none = len(self.space.depths)
        owner = [none if i is None else i for i in self.space.owner]
        return np.repeat(np.asarray(owner, dtype=np.intp), [group.gates for group in self.space.widths])


def mac_cost(
    config: Mapping[str, Any], space: Space, height: int, width: int, tokens: int = 77
) -> LinearCost:
    """Return the true MACs of one UNet call at batch 1 on latents of `height` × `width` with `tokens` text
    tokens.

    Counts what torch's FLOP counter counts: convolutions, linears and both attention products,
    cross-attention with its true key length (the published counter charges it N × N). `config` is the
    dense UNet's.
    """
    check_supported(config)
    check_resolution(config, height, width)
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    macs = module_macs(unet, height, width, tokens)
    shares = [_macs_of_group(group.module, unet.get_submodule(group.module), macs) for group in space.widths]
    per_gate = np.repeat(
        [share / group.gates for share, group in zip(shares, space.widths, strict=True)],
        [group.gates for group in space.widths],
    )
    fixed = np.array([_below(macs, gate.module) for gate in space.depths], dtype=np.float64)
    for owner, share in zip(space.owner, shares, strict=True):
        if owner is not None:
            fixed[owner] -= share
    base = sum(macs.values()) - fixed.sum() - sum(shares)
    return LinearCost(space, float(base), fixed, per_gate.astype(np.float64))


def _macs_of_group(path: str, module: nn.Module, macs: Mapping[str, int]) -> int:
    """Return the MACs that shrink in proportion to the kept gates of the group at `path`."""
    if hasattr(module, "conv_shortcut"):  # a resnet: its shortcut is not part of the width
        return _below(macs, path) - macs.get(f"{path}.conv_shortcut", 0)
    return _below(macs, path)


def _below(macs: Mapping[str, int], path: str) -> int:
    return sum(count for name, count in macs.items() if name == path or name.startswith(path + "."))
