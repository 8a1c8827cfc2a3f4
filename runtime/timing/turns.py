"""Samples in turns: warm-up until two windows agree, then rounds of A B A B until there are enough.

It decides who runs when, and nothing else: what is timed are callables that tell how long they took. It
refuses to compare runs that lie apart in time; sample i of every contender is from the same round. The
benchmarks of bundles, of a UNet's parts and of kernels all take their turns here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

from runtime.errors import RuntimeFailure

T = TypeVar("T")
Work = Callable[[], float]  # does the work once, and gives the seconds that it took
OnRound = Callable[[str, int, int], None]  # the phase, rounds done, rounds expected in all

# A window is three calls and a tenth of a second, or three seconds however few calls that takes.
WINDOW_CALLS, WINDOW_SHORTEST, WINDOW_LONGEST = 3, 0.1, 3.0
AGREEMENT = 0.05  # of the earlier window's median
MOST_WINDOWS = 10


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: at least `rounds` samples, and `seconds` of them, of every contender."""

    rounds: int = 10
    seconds: float = 1.0


@dataclass(slots=True)
class Series:
    """The measurements of one contender, in seconds per call.

    `warm_up` calls are not counted; `settled` says whether their last two windows agreed. A `failure` is why
    there are no more samples.
    """

    warm_up: list[float] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)
    settled: bool = False
    failure: str | None = None


class Windows:
    """Whether a contender's calls have become steady: whether the medians of its last two windows agree.

    A window is `calls` calls that took `shortest` seconds together, or `longest` however few that are.
    """

    def __init__(
        self, calls: int = WINDOW_CALLS, shortest: float = WINDOW_SHORTEST, longest: float = WINDOW_LONGEST
    ) -> None:
        self._calls, self._shortest, self._longest = calls, shortest, longest
        self.settled, self.full = False, 0
        self._open: list[float] = []
        self._last: float | None = None

    @property
    def over(self) -> bool:
        """Whether the warm-up ends: steady, or given up."""
        return self.settled or self.full >= MOST_WINDOWS

    def add(self, seconds: float) -> None:
        """Take the next call."""
        self._open.append(seconds)
        spent = sum(self._open)
        if spent < self._longest and (len(self._open) < self._calls or spent < self._shortest):
            return
        middle = median(self._open)
        if self._last is not None:
            self.settled = abs(middle - self._last) <= AGREEMENT * self._last
        self._last, self._open = middle, []
        self.full += 1


def take_rounds(
    samples: Mapping[T, list[float]],
    take: Callable[[T], Sequence[float]],
    more: Callable[[int], bool],
    *,
    rotate: bool = False,
) -> None:
    """Take turns A B A B: add to everyone's `samples` what `take` gives, as long as there is `more` to do
    after a round.

    `more` is told how many rounds are done. Whoever leaves `samples` meanwhile is not asked again. With
    `rotate` each follows another one in the next round.
    """
    names, done = list(samples), 0
    while more(done):
        for name in names:
            if name in samples:
                samples[name].extend(take(name))
        names = names[1:] + names[:1] if rotate else names
        done += 1


class Turns:
    """The contenders of one comparison. `series` fill as it goes: what is there at an interrupt stays."""

    def __init__(self, works: Mapping[str, Work], series: Mapping[str, Series]) -> None:
        self._works, self._series = dict(works), series

    def take(self, effort: Effort, on_round: OnRound) -> None:
        """Warm everyone up, then measure everyone. Who fails leaves, and the others go on."""
        self._warm_up(on_round)
        self._measure(effort, on_round)

    def _warm_up(self, on_round: OnRound) -> None:
        windows, done = {name: Windows() for name in self._works}, 0
        while not all(windows[name].over for name in self._works):
            for name in list(self._works):
                # Also who is steady already runs in its turn: nobody's neighbours change afterwards.
                seconds = self._run(name)
                if seconds is not None:
                    self._series[name].warm_up.append(seconds)
                    windows[name].add(seconds)
                    self._series[name].settled = windows[name].settled
            done += 1
            on_round("warm-up", done, done)

    def _measure(self, effort: Effort, on_round: OnRound) -> None:
        spent = dict.fromkeys(self._works, 0.0)
        samples = {name: self._series[name].samples for name in self._works}

        def take(name: str) -> list[float]:
            seconds = self._run(name)
            if seconds is None:
                del samples[name]
                return []
            spent[name] += seconds
            return [seconds]

        def more(done: int) -> bool:
            if not samples:
                return False
            least = min(spent[name] for name in samples)
            if done >= effort.rounds and least >= effort.seconds:
                return False
            on_round("round", done, _expected(effort, done, least))
            return True

        take_rounds(samples, take, more)

    def _run(self, name: str) -> float | None:
        try:
            return self._works[name]()
        except RuntimeFailure as failure:
            self._series[name].failure = str(failure)
            del self._works[name]
            return None


def _expected(effort: Effort, done: int, least: float) -> int:
    """Return the rounds in all, if they go on as they went: `least` are the seconds of whoever has the
    fewest.
    """
    return max(effort.rounds, math.ceil(done * effort.seconds / least) if least else 0)
