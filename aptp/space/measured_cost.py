"""A measured cost model: the seconds of an architecture, from a machine's profile.

Samples become costs: the median of each width that was measured, made monotone (least squares), and
straight lines between. Refuses profiles of other UNets, sizes and text lengths.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aptp.space.architecture import Architecture
from aptp.space.groups import Space, WidthGroup, inside
from aptp.space.profile import FIXED, Measured, Profile
from runtime.errors import TableError, nearest


@dataclass(frozen=True, slots=True)
class TableCost:
    """A measured cost in seconds: base + Σ over depth gates of (kept: fixed + its groups' curves; skipped:
    absent) + Σ of the curves of groups outside every depth gate.

    `fixed` and `absent`: [depth gates]. `curves`: [width groups, most gates + 1], the cost of each
    group by the number of gates that are kept; a group with fewer gates fills the front of its row.
    """

    space: Space
    base: float
    fixed: NDArray[np.float64]
    absent: NDArray[np.float64]
    curves: NDArray[np.float64]

    @property
    def dense(self) -> float:
        return self._of(np.ones(self.space.size))

    def of(self, architecture: Architecture) -> float:
        """Return the cost of one architecture."""
        return self._of(architecture.keep)

    def _of(self, keep: NDArray[np.generic]) -> float:
        return float(self(torch.from_numpy(keep).double().unsqueeze(0)))

    def __call__(self, gates: Tensor) -> Tensor:
        """Return the cost of each row of `gates` [B, D], differentiably. Returns [B].

        Where a whole number of gates is kept, the gradient of a gate is what dropping it would save.
        """
        widths, depths = gates[:, : self.space.width_gates], gates[:, self.space.width_gates :]
        fixed, absent, curves = (
            torch.as_tensor(c, dtype=gates.dtype, device=gates.device)
            for c in (self.fixed, self.absent, self.curves)
        )
        sizes = torch.tensor([group.gates for group in self.space.widths], device=gates.device)
        groups = torch.arange(len(sizes), device=gates.device)
        kept = gates.new_zeros(len(gates), len(sizes))
        kept = kept.index_add(1, groups.repeat_interleave(sizes), widths)  # [B, groups]
        below = (kept.detach().ceil().long() - 1).clamp(min=0)
        below = below.minimum(sizes - 1)
        at_below, at_above = curves[groups, below], curves[groups, below + 1]
        each = at_below + (kept - below) * (at_above - at_below)
        alive = torch.cat([depths, torch.ones_like(gates[:, :1])], dim=1)[:, self._owners()]
        total: Tensor = self.base + (each * alive).sum(1) + depths @ fixed + (1 - depths) @ absent
        return total

    def _owners(self) -> list[int]:
        """Return, for each width group, its depth gate; one past the last where there is none."""
        none = len(self.space.depths)
        return [none if owner is None else owner for owner in self.space.owner]


def table_cost(profile: Profile, space: Space, height: int, width: int, tokens: int) -> TableCost:
    """Return the measured cost of one UNet call on latents of `height` × `width` with `tokens` text tokens.

    Raises TableError where `profile` was measured at another size or text length, or of another UNet.
    """
    setting = profile.setting
    if (setting.latent, setting.tokens) != ((height, width), tokens):
        there = f"{setting.latent[0]}x{setting.latent[1]} latents and {setting.tokens} tokens"
        raise TableError(
            f"the profile holds for {there}, not for {height}x{width} and {tokens}; measure again with --size"
        )
    parts = [_part_of(profile, group) for group in space.widths]
    curves = np.zeros((len(parts), 1 + max((group.gates for group in space.widths), default=0)))
    for row, part in zip(curves, parts, strict=True):
        row[: part.gates + 1] = curve(part.seconds, part.gates)
    base, fixed = _fixed(profile, space)
    absent = np.array([_absent(profile, gate.module) for gate in space.depths], dtype=np.float64)
    return TableCost(space, base, fixed, absent, curves)


def curve(seconds: Mapping[int, float], gates: int) -> NDArray[np.float64]:
    """Return the cost by gates kept, [gates + 1], which never falls, from `seconds` measured at some counts.

    With none kept, which no architecture has, the first line goes on: the gradient at one gate needs it.
    """
    counts = [kept for kept in sorted(seconds) if kept > 0]
    cost = np.interp(np.arange(gates + 1), counts, rising([seconds[kept] for kept in counts]))
    if gates > 1:
        cost[0] = max(0.0, 2 * cost[1] - cost[2])
    return cost


def rising(values: Sequence[float]) -> list[float]:
    """Return the sequence that never falls and is nearest to `values` in the sum of squares (pool adjacent
    violators).
    """
    pools: list[tuple[float, int]] = []
    for value in values:
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (later, many), (sooner, few) = pools.pop(), pools.pop()
            pools.append(((later * many + sooner * few) / (many + few), many + few))
    return [mean for mean, count in pools for _ in range(count)]


def _part_of(profile: Profile, group: WidthGroup) -> Measured:
    part = profile.by_module.get((group.module, True))
    if part is None:
        known = [module for module, gated in profile.by_module if gated]
        raise TableError(
            f"the profile is of another UNet: it has no {group.module}{nearest(group.module, known)}"
        )
    if (part.kind, part.gates, part.chunk) != (group.kind, group.gates, group.chunk):
        raise TableError(
            f"the profile is of another UNet: {group.module} was measured as {part.kind}, {part.gates} gates "
            f"of {part.chunk}; here it is {group.kind}, {group.gates} of {group.chunk}"
        )
    return part


def _fixed(profile: Profile, space: Space) -> tuple[float, NDArray[np.float64]]:
    """Return the cost that is spent whatever the widths: outside every depth gate, and inside each."""
    fixed = np.zeros(len(space.depths) + 1)
    for part in profile.parts:
        for module in part.modules if part.kind == FIXED else ():
            owners = [i for i, gate in enumerate(space.depths) if inside(module, gate.module)]
            fixed[owners[0] if owners else -1] += part.seconds[1]
    return float(fixed[-1]), fixed[:-1]


def _absent(profile: Profile, module: str) -> float:
    part = profile.by_module.get((module, True))
    return part.seconds.get(0, 0.0) if part else 0.0
