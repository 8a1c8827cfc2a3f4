"""The engines in memory, under a budget, and those that may go to make room for another.

An engine that a call is running on is never given up; one that has work left, only after its turn: it has to
have run `TURN` times as long as it took to open, so that opening engines costs a known share of all time
where the budget does not hold them all.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from runtime.scheduling.ticket import Key

TURN = 4


@dataclass(slots=True)
class Stay:
    """An engine's time in memory: what it is expected to hold, and seconds that it took to open and ran."""

    cost: int
    opening: float
    ran: float = 0.0


class MemoryBudget:
    """The engines' bookkeeping. `cost` gives the bytes that one is expected to hold."""

    def __init__(self, budget: int, cost: Callable[[Key], int]) -> None:
        self.budget, self._cost = budget, cost
        self._resident: OrderedDict[Key, Stay] = OrderedDict()  # the least recently used first
        self.opening: Key | None = None

    def __contains__(self, key: Key) -> bool:
        return key in self._resident

    def __iter__(self) -> Iterator[Key]:
        return iter(self._resident)

    @property
    def used(self) -> int:
        """Bytes that the engines hold, or will when the one being opened is there."""
        coming = self._cost(self.opening) if self.opening is not None else 0
        return coming + sum(stay.cost for stay in self._resident.values())

    def holds(self, which: Callable[[Key], bool]) -> bool:
        """Return whether an engine of which that is true is there, or being opened."""
        return any(map(which, self._resident)) or (self.opening is not None and which(self.opening))

    def victims(self, key: Key, busy: Collection[Key], *, ahead: bool) -> list[Key] | None:
        """Return the engines that have to go so that `key` can come, or None where that has to wait.

        `busy` are those that somebody needs; to fetch `ahead` of need, none of them goes.
        """
        short = self.used + self._cost(key) - self.budget
        idle = [other for other in self._resident if other not in busy]
        served = [other for other in self._resident if other in busy and self._had_its_turn(other)]
        found: list[Key] = []
        for other in idle if ahead else [*idle, *served]:
            if short <= 0:
                break
            found.append(other)
            short -= self._resident[other].cost
        return found if short <= 0 else None

    def start(self, key: Key) -> None:
        """Count an engine that is being opened."""
        assert self.opening is None, "engines are opened one at a time"
        self.opening = key
        assert self.used <= self.budget, "room was made for it"

    def opened(self, key: Key, seconds: float) -> None:
        """Keep the engine that was being opened."""
        assert key == self.opening
        self.opening = None
        self._resident[key] = Stay(self._cost(key), seconds)

    def failed(self, key: Key) -> None:
        """Forget the engine that was being opened."""
        assert key == self.opening
        self.opening = None

    def ran(self, key: Key, seconds: float) -> None:
        """Note a call."""
        self._resident[key].ran += seconds
        self._resident.move_to_end(key)

    def evict(self, key: Key) -> None:
        """Give an engine up."""
        del self._resident[key]

    def _had_its_turn(self, key: Key) -> bool:
        stay = self._resident[key]
        # At least one call, even after opening in no time: two such engines would take turns at opening only.
        return stay.ran > 0 and stay.ran >= TURN * stay.opening
