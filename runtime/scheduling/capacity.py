"""How many requests are worth a call, learned from the calls themselves: on each engine, at each size."""

from collections import defaultdict
from dataclasses import dataclass, field

from runtime.scheduling.ticket import Key

WORTH = 0.05
SAMPLES = 8

SMALL = 10**9  # MACs
TOGETHER = 8


def default_batch(macs: int) -> int:
    """Return how many requests share a call where nobody says: 8 below 10^9 `macs`, else 1.

    `macs` are those of one row at the default size, of the largest expert. On two cores, experts of 0.14 and
    0.23 billion make images 1.1, 1.3 and 1.4 to 1.5 times as fast with 2, 4 and 8 to a call; those
    of SD 2.1, a thousand times larger, gained 0 to 7 % with OpenVINO, which is not worth the waiting.
    """
    return TOGETHER if macs < SMALL else 1


@dataclass(slots=True)
class Pace:
    """Calls of one size of group: how many, and the least seconds that a row of one took."""

    calls: int = 0
    least: float = float("inf")


@dataclass(slots=True)
class Capacity:
    """The smallest group in which a row costs at most `worth` more than in the best one.

    The least of several calls is compared, for what else a machine does only ever makes calls longer. Until
    both single requests and the largest groups have had `samples` calls, groups are as large as may be.
    """

    worth: float = WORTH
    samples: int = SAMPLES
    _paces: dict[Key, defaultdict[int, Pace]] = field(default_factory=dict)

    def called(self, key: Key, count: int, rows: int, seconds: float) -> None:
        """Learn from a call that `count` requests shared, which have one or two of its `rows` each."""
        pace = self._paces.setdefault(key, defaultdict(Pace))[count]
        pace.calls += 1
        pace.least = min(pace.least, seconds / rows)

    def of(self, key: Key, most: int) -> int:
        """Return how many may share a call on an engine, where its arrays take `most`."""
        paces = list(self._paces.get(key, {}).items())  # a copy: calls go on, and teach, in another thread
        known = {count: pace.least for count, pace in paces if pace.calls >= self.samples}
        if not {1, most} <= known.keys():
            return most
        enough = min(known.values()) * (1 + self.worth)
        return min(count for count, least in known.items() if least <= enough)
