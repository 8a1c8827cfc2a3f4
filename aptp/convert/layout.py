"""The order of the published gate vectors, read off their `structure` and laid beside a UNet's modules.

A structure lists sublayers: down blocks, mid block, up blocks, and in each the resnets before the
transformers. Of each it says how many gates its groups have and whether it may be skipped. That is the order
of `aptp.space` as well, so a vector fits as it is wherever the two agree; where they do not, the structure
belongs to another UNet and is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from diffusers import UNet2DConditionModel

from aptp.space.discover import discover
from aptp.space.groups import Kind, Space, WidthGroup
from runtime.errors import CheckpointError, SpaceError


@dataclass(frozen=True, slots=True)
class Structure:
    """The groups of a published gate vector.

    `widths`: the gates of each group, by sublayer; `skippable`: whether each may be skipped.
    """

    widths: tuple[tuple[int, ...], ...]
    skippable: tuple[bool, ...]

    @property
    def groups(self) -> list[int]:
        """The gates of every group, in the order of the vector."""
        return [gates for sublayer in self.widths for gates in sublayer]

    @property
    def depths(self) -> int:
        return sum(self.skippable)


def parse(found: Any, where: str) -> Structure:
    """Parse the `structure` of a config. Raises CheckpointError, naming `where`, for anything else."""
    match found:
        case {"width": [*widths], "depth": [*depths]} if len(widths) == len(depths) > 0:
            if all(map(_is_width, widths)) and all(depth in ([0], [1]) for depth in depths):
                return Structure(tuple(map(tuple, widths)), tuple(depth == [1] for depth in depths))
    raise CheckpointError(
        f"{where}: 'structure' does not list, for each sublayer, the gates of its groups and [0] or [1]"
    )


def _is_width(sublayer: Any) -> bool:
    return isinstance(sublayer, list) and bool(sublayer) and all(type(n) is int and n > 0 for n in sublayer)


def space_of(unet: UNet2DConditionModel, structure: Structure) -> Space:
    """Return the pruning space whose gate vectors have the order of `structure`'s.

    Raises CheckpointError where `unet` has other sublayers, groups or gates, or cannot skip what may be
    skipped.
    """
    sublayers = _sublayers(discover(unet).widths)
    if len(sublayers) != len(structure.widths):
        raise CheckpointError(
            f"the published structure has {len(structure.widths)} sublayers, the pipeline's UNet "
            f"{len(sublayers)}; give the --pipeline that the experts were cut from"
        )
    depth = [name for name, may in zip(sublayers, structure.skippable, strict=True) if may]
    try:
        space = discover(unet, depth=depth, feed_forward_gates=_feed_forward_gates(sublayers, structure))
    except SpaceError as error:
        raise CheckpointError(f"the published structure does not fit the pipeline's UNet: {error}") from error
    for (name, groups), wanted in zip(_sublayers(space.widths).items(), structure.widths, strict=True):
        found = tuple(group.gates for group in groups)
        if found != wanted:
            raise CheckpointError(
                f"{name} has groups of {list(found)} gates in the pipeline's UNet, of {list(wanted)} in the "
                "published structure; give the --pipeline that the experts were cut from"
            )
    return space


def _sublayers(groups: Sequence[WidthGroup]) -> dict[str, list[WidthGroup]]:
    """Group sublayers by the resnet or transformer that they are in."""
    return {
        name: list(found)
        for name, found in groupby(groups, lambda g: g.module.split(".transformer_blocks")[0])
    }


def _feed_forward_gates(sublayers: Mapping[str, Sequence[WidthGroup]], structure: Structure) -> int:
    """Return the one number of gates that all feed-forwards have, or 1 where there are none."""
    found = {
        gates
        for groups, wanted in zip(sublayers.values(), structure.widths, strict=True)
        for group, gates in zip(groups, wanted, strict=False)
        if group.kind is Kind.FEED_FORWARD
    }
    return max(found, default=1)
