"""What a training loop trains, and where its randomness comes from."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import nn

from aptp.data.batches import Batch


class Learner(nn.Module):
    """Owns the models; what has ``requires_grad`` is optimised, averaged and saved, the rest is frozen."""

    @abstractmethod
    def forward(self, batch: Batch, step: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """Scalars to log; the one called ``loss`` is minimised. Draws from ``rng`` (on the CPU) alone."""

    def trained(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.named_parameters() if p.requires_grad}


def generator(seed: int, step: int, process: int = 0) -> torch.Generator:
    """The random numbers of one step: a function of its arguments, so that nothing of it needs saving."""
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + process * 0x94D049BB133111EB) % 2**63
    return torch.Generator().manual_seed(mixed)
