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

    @property
    def total(self) -> int:
        """The rows of the batch, over all processes."""
        return self._total

    def turn(self, which: int, turns: int, key: int) -> tuple[Tensor, "Draws"]:
        """Return the rows, counted from 0 within these, that take turn `which` of `turns` in the batch, and
        their draws: those of a batch that consists of such rows alone. `key` tells one kind of rows from
        another, whatever its turn.
        """
        mine = (self._rows % turns == which).nonzero()[:, 0]
        own = generator(self.rng.initial_seed(), key)
        return mine, Draws(own, self._rows[mine] // turns, self._total // turns)

    def first(self) -> "Draws":
        """Return the draws of the first row of the batch, whoever has it."""
        return Draws(self.rng, torch.zeros(1, dtype=torch.int64), self._total)

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
