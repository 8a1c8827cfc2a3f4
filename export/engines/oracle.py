"""The reference outputs that a compiled engine of an expert is compared with."""

from dataclasses import dataclass

from export.graphs.expert import ServingGraph
from export.graphs.graph import Signature
from export.parity import ladder


@dataclass(frozen=True, slots=True)
class Oracle:
    """The outputs that PyTorch gives in float32 for each of `feeds`, and the error of its own autocast on
    them.

    `serving` is the expert without its clock, and `signature` that of its inputs.
    """

    serving: ServingGraph
    signature: Signature
    feeds: list[ladder.Feed]
    outputs: list[ladder.Array]
    autocast: float
