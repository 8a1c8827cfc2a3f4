"""The similarity of prompts and codes, in the space of the method.

Two of them. The published one compares hardened gate vectors, so that a served router would have to harden
too. The linear one compares a prompt's raw scores with signed gate vectors: an inner product, which a served
router computes exactly and to which a price per code can be added.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from aptp.model.gate_space import GateSpace
from aptp.space.groups import Space
from aptp.train.gumbel_sigmoid import SampledGates


class Similarity(nn.Module):
    """The similarity of prompts and codes.

    The published space is `GateSpace`. In the linear one the gates of a sublayer count as its depth gate
    does, and each group counts once whatever its size, all depth gates together being one.
    """

    scale: Tensor

    def __init__(self, space: Space, *, linear: bool) -> None:
        super().__init__()
        self.linear = linear
        self._gates = GateSpace(space)
        self._widths = space.width_gates
        self._groups = len(space.widths) + bool(space.depths)
        scale = self._gates.scale.clone()
        scale[self._widths :] = len(space.depths) ** -0.5 if space.depths else 1.0
        self.register_buffer("scale", scale, persistent=False)  # [D]

    def prompts(self, scores: Tensor, gates: SampledGates | None) -> Tensor:
        """Return the vectors [B, D] of prompts with predicted `scores` [B, D] and, unless linear, their
        gates.
        """
        if self.linear:
            scaled: Tensor = scores * self.scale
            return scaled
        assert gates is not None, "the published space compares gates"
        return F.normalize(self._gates(gates.soft, gates.hard), dim=1)

    def codes(self, gates: SampledGates) -> Tensor:
        """Return the vectors [K, D] of codes, of length 1."""
        if not self.linear:
            return F.normalize(self._gates(gates.soft, gates.hard), dim=1)
        built = self._gates(gates.hard, gates.hard) / self._gates.scale  # a skipped sublayer keeps nothing
        unit: Tensor = (2 * built - 1) * self.scale / self._groups**0.5
        return unit
