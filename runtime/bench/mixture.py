"""Prompts of a file at saturation, each on the expert it is routed to, against all of them on one expert.

A closed loop: `running` requests are always under way, and the next is taken when one ends. The control does
everything but route. Its expert is the one whose cost is nearest to the mixture's mean. Kinds of work may go
on at the same time, so their seconds can add up to more than the pass took.
"""

import queue
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from runtime.api.pipeline import Pipeline
from runtime.bundle.schema import Manifest
from runtime.errors import CodeUnavailable, RuntimeFailure
from runtime.formats import DENSE
from runtime.models.router import RouterOutput, wanted
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams, code_of
from runtime.service.events import Event, Finished
from runtime.service.generated import Generated
from runtime.service.work_stats import KINDS
from runtime.timing.turns import OnRound

Clock = Callable[[], float]


@dataclass(slots=True)
class Pass:
    """One pass over all prompts. `seconds` in all, `latencies` of each image from its start to its pixels.

    `experts` counts the images of each, `shares` the seconds of each kind of work; `calls` and `rows` are the
    UNet's.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    experts: dict[str, int] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))
    calls: int = 0
    rows: int = 0


class ClosedLoop:
    """A closed loop on one opened bundle, with `running` requests under way."""

    def __init__(
        self, runtime: Pipeline, params: GenerationParams, running: int, clock: Clock = time.perf_counter
    ) -> None:
        self._runtime, self._params, self._clock = runtime, params, clock
        self.running = running

    def expert_of(self, prompt: str) -> str:
        """Return the expert that serves a prompt. Raises `CodeUnavailable`, `EngineFailure`."""
        return expert_for(self._runtime.bundle.manifest, self._runtime.models.route(prompt))

    def take(
        self,
        prompts: Sequence[str],
        expert: str | None = None,
        on_image: Callable[[Generated], None] | None = None,
    ) -> Pass:
        """Make an image of every prompt, on `expert` where one is given. Raises `RuntimeFailure`."""
        # Nothing is remembered from the pass before: every prompt is encoded once, the negative one too.
        self._runtime.models.forget_prompts()
        told: queue.SimpleQueue[tuple[int, Event | RuntimeFailure]] = queue.SimpleQueue()
        found, before, experts = Pass(), work_of(self._runtime), Counter[str]()
        taken, waiting = dict[int, float](), list(enumerate(prompts))[::-1]
        start = self._clock()
        while waiting or taken:
            while waiting and len(taken) < self.running:
                seed, prompt = waiting.pop()
                taken[seed] = self._clock()
                params = replace(self._params, seed=seed, code=None if expert is None else code_of(expert))
                core, hear = self._runtime.core, partial(_hear, told, seed)
                core.submit(core.request(prompt, params, RequestOptions(), hear))
            seed, event = told.get()
            if isinstance(event, RuntimeFailure):
                raise event
            if isinstance(event, Finished):
                found.latencies.append(self._clock() - taken.pop(seed))
                experts[event.image.choice.expert] += 1
                if on_image:
                    on_image(event.image)
        found.seconds = self._clock() - start
        after = work_of(self._runtime)
        found.experts = dict(experts)
        found.calls, found.rows = (int(after[name] - before[name]) for name in ("calls", "rows"))
        found.shares = {kind: after[kind] - before[kind] for kind in KINDS}
        return found


def work_of(runtime: Pipeline) -> dict[str, float]:
    """Return the work so far: seconds of each kind, and the UNet's `calls` and their `rows`."""
    stats = runtime.core.executor.stats
    experts = list(stats.experts.values())  # a copy: work goes on in other threads
    calls, rows = sum(each.calls for each in experts), sum(each.rows for each in experts)
    return {**stats.seconds, "calls": calls, "rows": rows}


def _hear(
    told: "queue.SimpleQueue[tuple[int, Event | RuntimeFailure]]", seed: int, event: Event | RuntimeFailure
) -> None:
    told.put((seed, event))


@dataclass(slots=True)
class MixturePasses:
    """Passes in turns: `mixed[i]` and `alone[i]` are neighbours in time.

    `macs` are the mean cost of an image's UNet row, mixed and alone; `control` is the expert alone.
    """

    engine: str
    prompts: int
    running: int
    batch: int
    control: str
    macs: dict[str, float]
    mixed: list[Pass] = field(default_factory=list)
    alone: list[Pass] = field(default_factory=list)


def prepare(
    loop: ClosedLoop, manifest: Manifest, prompts: Sequence[str], engine: str, batch: int
) -> MixturePasses:
    """Find the control, by routing every prompt once. Raises `CodeUnavailable`, `EngineFailure`."""
    costs = [manifest.experts[loop.expert_of(prompt)].macs for prompt in prompts]
    mean = sum(costs) / len(costs)
    control = nearest_cost(manifest, mean)
    macs = {"mixed": mean, "alone": float(manifest.experts[control].macs)}
    return MixturePasses(engine, len(prompts), loop.running, batch, control, macs)


def run(
    loop: ClosedLoop, mixture: MixturePasses, prompts: Sequence[str], rounds: int, on_round: OnRound
) -> None:
    """Run one pass of each that is not counted, then `rounds` in turns.

    An interrupt keeps the finished passes.
    """
    loop.take(prompts)
    loop.take(prompts, mixture.control)
    for done in range(rounds):
        on_round("round", done, rounds)
        mixed = loop.take(prompts)
        alone = loop.take(prompts, mixture.control)
        mixture.mixed.append(mixed)
        mixture.alone.append(alone)


def nearest_cost(manifest: Manifest, macs: float) -> str:
    """Return the expert whose cost is nearest to `macs`."""
    return min(sorted(manifest.experts), key=lambda name: abs(manifest.experts[name].macs - macs))


def expert_for(manifest: Manifest, route: RouterOutput) -> str:
    """Return the expert that serves a prompt, or the fallback. Raises `CodeUnavailable`."""
    name, _ = wanted(manifest.router, route)
    expert = name if name in manifest.experts else manifest.router.fallback
    if expert is None:
        raise CodeUnavailable(
            f"a prompt is routed to expert {name}, which the bundle does not hold, and no fallback; "
            f"build it with `python -m export.build --codes all{',dense' if name == DENSE else ''}`, "
            "or leave --prompts out"
        )
    return expert
