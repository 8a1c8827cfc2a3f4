"""The engines kept in memory: opened when first asked for, the least recently used given up over a budget."""

import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Bucket(NamedTuple):
    """What an engine is specialised to. `rows` 0 leaves the batch open."""

    model: str
    rows: int
    height: int
    width: int


class Residency(Generic[T]):
    """Open engines by bucket. `open_engine` makes one; `cost` gives the bytes one is expected to hold.

    The engine asked for last always stays, so a budget smaller than one engine means one engine.
    """

    def __init__(
        self, open_engine: Callable[[Bucket], T], cost: Callable[[Bucket], int], budget: int
    ) -> None:
        self._open, self._cost, self.budget = open_engine, cost, budget
        self._engines: OrderedDict[Bucket, T] = OrderedDict()

    def __getitem__(self, bucket: Bucket) -> T:
        """The engine for `bucket`, opened if it is not there."""
        if bucket in self._engines:
            self._engines.move_to_end(bucket)
            return self._engines[bucket]
        # Room is made first, so that two engines' memory is never held where the budget allows one.
        room = self.budget - self._cost(bucket)
        while self._engines and self.used > room:
            self._engines.popitem(last=False)
        self._engines[bucket] = engine = self._open(bucket)
        return engine

    @property
    def used(self) -> int:
        """Bytes that the open engines are expected to hold."""
        return sum(map(self._cost, self._engines))

    def clear(self) -> None:
        """Close every engine."""
        self._engines.clear()


def default_budget() -> int:
    """Half of this machine's memory, in bytes: the rest is for activations, caches and everyone else."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
