"""The random numbers of one training step: a function of (seed, step) and of a row's place in the batch.

However many processes share a batch, each row gets the same numbers: every process draws for all rows, in the
same order, and keeps its own. What concerns no row (`rng`) is the same for all.
"""

import torch
from torch import Tensor


class Draws:
    """The random numbers of the `rows` (int64 [B]) of a batch of `total`.

    All draws are made by `rng`, on the CPU.
    """

    def __init__(self, rng: torch.Generator, rows: Tensor, total: int) -> None:
        self.rng, self._rows, self._total = rng, rows, total

    def __len__(self) -> int:
        return len(self._rows)

    def of(self, rows: Tensor) -> "Draws":
        """Return the draws of some of these rows, counted from 0 within them."""
        return Draws(self.rng, self._rows[rows.cpu()], self._total)

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers [B, *shape]."""
        return torch.randn(self._total, *shape, generator=self.rng)[self._rows]

    def uniform(self, *shape: int) -> Tensor:
        """Draw [B, *shape] from 0 up to 1."""
        return torch.rand(self._total, *shape, generator=self.rng)[self._rows]

    def integers(self, low: int, high: int) -> Tensor:
        """Draw int64 [B] from `low` up to `high`."""
        return torch.randint(low, high, (self._total,), generator=self.rng)[self._rows]

    def strata(self) -> Tensor:
        """Return [B] from 0 up to 1, one in each of `total` equal ranges over the whole batch, in random
        order.
        """
        within = self.uniform()
        order = torch.randperm(self._total, generator=self.rng)[self._rows]
        return (order + within) / self._total


def draws(seed: int, step: int, rows: range, total: int) -> Draws:
    """Return the draws of the rows `rows` of a step's batch of `total`; nothing of them needs saving."""
    return Draws(generator(seed, step), torch.arange(rows.start, rows.stop), total)


def generator(seed: int, step: int) -> torch.Generator:
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9) % 2**63
    return torch.Generator().manual_seed(mixed)
