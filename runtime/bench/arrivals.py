"""An open loop: prompts of a file arrive at a given rate, whether or not earlier ones are finished.

Gaps between arrivals are exponential (a Poisson process) and drawn from a seed: two runs see the same ones.
What the service refuses is refused: its queue is bounded, as a server's is.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from runtime.api.pipeline import Pipeline
from runtime.bench.mixture import work_of
from runtime.errors import QueueFull, RuntimeFailure
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams
from runtime.service.events import Event, Finished, Started
from runtime.service.work_stats import KINDS
from runtime.timing.turns import OnRound

Clock = Callable[[], float]


@dataclass(slots=True)
class Arrivals:
    """The result of one open loop: `rate`, in images a second, for `seconds`.

    Times are in seconds, from each arrival.

    `waits`: until the request was begun; `latencies`: to its image. `experts` counts images; `busy` is the
    time of each kind of work, some of which go on at once. `lasted`: until the last image.
    """

    rate: float
    seconds: float
    offered: int = 0
    rejected: int = 0
    waits: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    experts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    calls: int = 0
    rows: int = 0
    busy: dict[str, float] = field(default_factory=dict)
    lasted: float = 0.0


class OpenLoop:
    """An open loop on one opened bundle. `pause` waits for so many seconds."""

    def __init__(
        self,
        runtime: Pipeline,
        params: GenerationParams,
        clock: Clock = time.perf_counter,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._runtime, self._params, self._clock, self._pause = runtime, params, clock, pause

    def take(
        self, prompts: Sequence[str], rate: float, seconds: float, on_round: OnRound, seed: int = 0
    ) -> Arrivals:
        """Let prompts arrive, over and over, and wait for all that were let in. Raises `UsageError`."""
        self._runtime.models.forget_prompts()
        found, before = Arrivals(rate, seconds), work_of(self._runtime)
        rng, start, due = np.random.default_rng(seed), self._clock(), 0.0
        heard = _Heard(found, self._clock)
        while (due := due + rng.exponential(1 / rate)) < seconds:
            on_round("round", int(due), int(seconds))
            self._pause(max(0.0, start + due - self._clock()))
            prompt = prompts[found.offered % len(prompts)]
            params = replace(self._params, seed=found.offered)
            found.offered += 1
            heard.expect()
            try:
                core, hear = self._runtime.core, partial(heard, self._clock())
                core.submit(core.request(prompt, params, RequestOptions(), hear))
            except QueueFull:
                heard.refused()
        heard.wait()
        found.lasted = self._clock() - start
        after = work_of(self._runtime)
        found.calls, found.rows = (int(after[name] - before[name]) for name in ("calls", "rows"))
        found.busy = {kind: after[kind] - before[kind] for kind in KINDS}
        found.experts = dict(heard.experts)
        return found


class _Heard:
    """The record of what becomes of the requests, told by the threads that serve them."""

    def __init__(self, found: Arrivals, clock: Clock) -> None:
        self._found, self._clock = found, clock
        self._changed = threading.Condition()
        self._open = 0
        self.experts: Counter[str] = Counter()

    def expect(self) -> None:
        with self._changed:
            self._open += 1

    def refused(self) -> None:
        with self._changed:
            self._open -= 1
            self._found.rejected += 1

    def __call__(self, arrived: float, event: Event | RuntimeFailure) -> None:
        with self._changed:
            waited = self._clock() - arrived
            if isinstance(event, Started):
                self._found.waits.append(waited)
            elif isinstance(event, Finished):
                self._found.latencies.append(waited)
                self.experts[event.image.choice.expert] += 1
            elif isinstance(event, RuntimeFailure):
                self._found.failures.append(str(event))
            if isinstance(event, Finished | RuntimeFailure):
                self._open -= 1
                self._changed.notify_all()

    def wait(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._open)
