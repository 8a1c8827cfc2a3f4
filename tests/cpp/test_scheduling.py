"""The scheduler in C++ and in Python: they decide alike who does what next, in made-up worlds of
all kinds.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.scheduling.capacity import Capacity
from runtime.scheduling.scheduler import QueueLimits
from tests.cpp.mirror import Mirror, Peer
from tests.runtime.scheduling.world import Errand, World

ENGINES = "abcdz"


@pytest.fixture
def peer(program: Callable[[str], Path]) -> Iterator[Peer]:
    one = Peer(program("decisions"))
    yield one
    one.close()


class Shared(World):
    """A world whose engines differ in size, and take different times; its decisions are compared."""

    def __init__(self, peer: Peer, rng: random.Random) -> None:
        limits = QueueLimits(
            rng.randint(1, 12), rng.choice([None, 0, 1, 5]), rng.randint(0, 6), rng.choice([0.5, 10.0])
        )
        bad = {rng.randint(1, 60) for _ in range(rng.choice([0, 0, 4]))}
        super().__init__(limits, fails=lambda what, key, number: number in bad)
        cost = {engine: rng.choice([10, 10, 15, 40]) for engine in ENGINES}
        self.batches = {engine: rng.randint(1, 4) for engine in ENGINES}
        self.batch = max(self.batches.values())
        budget = rng.choice([40, 55, 1000])
        self.opening, self.call = rng.choice([0.1, 0.7, 5.0]), rng.choice([0.3, 1.0])
        self.mirror = Mirror(peer, limits, budget, cost, self.batches)
        self.scheduler = self.mirror
        self._rng = rng

    def come(self) -> None:
        rng = self._rng
        plan = rng.choice(ENGINES[:4]) * rng.randint(1, 6) + "z" if rng.random() < 0.6 else self._any_plan()
        seconds = rng.uniform(0.1, 40) if rng.random() < 0.3 else None
        errand = Errand(plan, prepares=rng.random() < 0.9)
        ticket = self.admit(errand, rng.choice([-1, 0, 0, 0, 1]), seconds)
        if ticket is None:
            return
        if rng.random() < 0.25:
            self.at(self.now + rng.uniform(0, 20), lambda: self.cancel(ticket))
        if seconds is not None:
            self.at(self.now + seconds, lambda: None)  # the watch looks at the time

    def _any_plan(self) -> str:
        return "".join(self._rng.choices(ENGINES, k=self._rng.randint(1, 6)))

    def evict_some(self) -> None:
        some = self._rng.choice(ENGINES)
        self.scheduler.evict(lambda key: key == some)
        self.dispatch()


@pytest.mark.parametrize("seed", range(300))
def test_every_decision_is_the_same(peer: Peer, seed: int) -> None:
    rng = random.Random(seed)
    world = Shared(peer, rng)
    for _ in range(rng.randint(1, 40)):
        world.at(rng.randint(0, 120) / 4, world.come)
    for _ in range(rng.randint(0, 3)):
        world.at(rng.uniform(0, 60), world.evict_some)
    world.run()
    assert len(world.scheduler) == 0
    assert world.mirror.compared > 10


def test_capacity_is_learned_alike(peer: Peer) -> None:
    rng, capacity = random.Random(0), Capacity()
    for _ in range(5000):
        key, count, most = rng.choice("ab"), rng.choice([1, 1, 2, 3, 4, 8]), rng.choice([1, 4, 8])
        rows, seconds = count * rng.randint(1, 2), rng.choice([1.0, count * rng.uniform(0.5, 1.5)])
        capacity.called(key, count, rows, seconds)
        theirs = peer.ask(do="learn", key=key, count=count, rows=rows, seconds=seconds, most=most)
        assert theirs["answer"] == capacity.of(key, most)
