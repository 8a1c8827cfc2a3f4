"""The pruning space as data: width groups, depth gates, and the order of their entries in a gate vector.

A gate vector has one entry per width gate, group after group, followed by one entry per depth gate. For SD
2.1 that is 1,606 width gates in 70 groups and 14 depth gates, the layout of the published method.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property


class Kind(StrEnum):
    """The unit that a width group counts, and so where its gate acts."""

    RESNET = "resnet"  # GroupNorm groups between conv1 and conv2; acts on conv2's input
    SELF_ATTENTION = "self_attention"  # heads; acts on the input of to_out
    CROSS_ATTENTION = "cross_attention"
    FEED_FORWARD = "feed_forward"  # chunks of the GEGLU product; acts on the output projection's input


@dataclass(frozen=True, slots=True)
class WidthGroup:
    """`gates` chunks of `chunk` channels each, inside the module at path `module`."""

    kind: Kind
    module: str
    gates: int
    chunk: int


@dataclass(frozen=True, slots=True)
class DepthGate:
    """A resnet or transformer that may be skipped; its identity path passes the first `channels`
    channels.
    """

    module: str
    channels: int


@dataclass(frozen=True)
class Space:
    """Everything that can be pruned from one UNet.

    `left_dense` names each sublayer that is never pruned, with the reason.
    """

    widths: tuple[WidthGroup, ...]
    depths: tuple[DepthGate, ...]
    left_dense: tuple[tuple[str, str], ...] = ()
    feed_forward_gates: int = 32

    @cached_property
    def width_gates(self) -> int:
        return sum(group.gates for group in self.widths)

    @property
    def size(self) -> int:
        """The length of a gate vector, D."""
        return self.width_gates + len(self.depths)

    def columns(self) -> Iterator[tuple[WidthGroup, slice]]:
        """Yield each width group with its columns of the gate vector."""
        start = 0
        for group in self.widths:
            yield group, slice(start, start + group.gates)
            start += group.gates

    def depth_columns(self) -> Iterator[tuple[DepthGate, int]]:
        """Yield each depth gate with its column of the gate vector."""
        return ((gate, self.width_gates + i) for i, gate in enumerate(self.depths))

    @cached_property
    def owner(self) -> tuple[int | None, ...]:
        """For each width group, the index of the depth gate whose sublayer contains it, if any."""
        return tuple(
            next((i for i, gate in enumerate(self.depths) if inside(group.module, gate.module)), None)
            for group in self.widths
        )


def inside(module: str, ancestor: str) -> bool:
    """Return whether the path `module` is `ancestor` or below it."""
    return module == ancestor or module.startswith(ancestor + ".")
