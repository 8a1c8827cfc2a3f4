"""Prompts of a file at saturation, each on the expert it is routed to, against all of them on one expert.

A closed loop: `running` requests are always under way, and the next is taken when one ends. The control does
everything but route. Its expert is the one whose cost is nearest to the mixture's mean.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..batching import Batcher
from ..bundle.schema import DENSE, Manifest
from ..engines.engine import Engine, Float32
from ..errors import CodeUnavailable
from ..request import Request
from ..router import Route, wanted
from .sampling import OnRound
from .workload import Clock, Workload

UNET, OPENING, ROUTING = "in the UNet", "opening engines", "routing"
ENCODING, DECODING = "encoding", "decoding"
KINDS = (UNET, OPENING, ROUTING, ENCODING, DECODING)


@dataclass(slots=True)
class Pass:
    """All prompts made once. `seconds` in all, `latencies` of each image from being taken to its pixels.

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
    """The loop over one opened runtime, with `running` requests under way."""

    def __init__(self, workload: Workload, running: int, clock: Clock = time.perf_counter) -> None:
        self._workload, self._runtime, self._clock = workload, workload.runtime, clock
        self.running = running

    def expert_of(self, prompt: str) -> str:
        """The expert that serves a prompt. Raises `CodeUnavailable`, `EngineFailure`."""
        return expert_for(self._runtime.bundle.manifest, self._runtime.models.route(prompt))

    def take(self, prompts: Sequence[str], expert: str | None = None) -> Pass:
        """Make an image of every prompt, on `expert` where one is given. Raises `RuntimeFailure`."""
        # Nothing is remembered from the pass before: every prompt is encoded once, the negative one too.
        self._runtime.models.forget_prompts()
        found, taken, waiting = Pass(), dict[int, float](), list(enumerate(prompts))[::-1]
        batcher = Batcher(lambda *bucket: self._engine(found, *bucket), self._runtime.batch)
        start = self._clock()
        while waiting or batcher:
            while waiting and len(batcher) < self.running:
                seed, prompt = waiting.pop()
                arrived = self._clock()
                request = self._admit(found, prompt, seed, expert)
                taken[id(request)] = arrived
                batcher.submit(request)
            for request in batcher.tick():
                if request.ended:
                    self._finish(found, request)
                    found.latencies.append(self._clock() - taken.pop(id(request)))
        found.seconds = self._clock() - start
        return found

    def _admit(self, found: Pass, prompt: str, seed: int, expert: str | None) -> Request:
        start = self._clock()
        self._workload.encode(prompt)
        encoded = self._clock()
        found.shares[ENCODING] += encoded - start
        if expert is None:
            expert = self.expert_of(prompt)
            found.shares[ROUTING] += self._clock() - encoded
        found.experts[expert] = found.experts.get(expert, 0) + 1
        return self._workload.request(prompt, expert, seed)

    def _engine(self, found: Pass, expert: str, rows: int, height: int, width: int) -> Engine:
        start = self._clock()
        engine = self._runtime.engine_for(expert, rows, height, width)
        found.shares[OPENING] += self._clock() - start
        found.calls += 1
        found.rows += rows
        return _Timed(engine, found, self._clock)

    def _finish(self, found: Pass, request: Request) -> None:
        start = self._clock()
        self._runtime.models.decode(request.result())
        found.shares[DECODING] += self._clock() - start


class _Timed:
    def __init__(self, engine: Engine, found: Pass, clock: Clock) -> None:
        self._engine, self._found, self._clock = engine, found, clock

    def run(self, sample: Float32, timestep: Float32, conditioning: Mapping[str, Float32]) -> Float32:
        start = self._clock()
        output = self._engine.run(sample, timestep, conditioning)
        self._found.shares[UNET] += self._clock() - start
        return output


@dataclass(slots=True)
class Mixture:
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


def prepare(loop: ClosedLoop, manifest: Manifest, prompts: Sequence[str], engine: str, batch: int) -> Mixture:
    """Find the control, by routing every prompt once. Raises `CodeUnavailable`, `EngineFailure`."""
    costs = [manifest.experts[loop.expert_of(prompt)].macs for prompt in prompts]
    mean = sum(costs) / len(costs)
    control = nearest_cost(manifest, mean)
    macs = {"mixed": mean, "alone": float(manifest.experts[control].macs)}
    return Mixture(engine, len(prompts), loop.running, batch, control, macs)


def run(loop: ClosedLoop, mixture: Mixture, prompts: Sequence[str], rounds: int, on_round: OnRound) -> None:
    """One pass of each that is not counted, then `rounds` in turns. What is there at an interrupt stays."""
    loop.take(prompts)
    loop.take(prompts, mixture.control)
    for done in range(rounds):
        on_round("round", done, rounds)
        mixed = loop.take(prompts)
        alone = loop.take(prompts, mixture.control)
        mixture.mixed.append(mixed)
        mixture.alone.append(alone)


def nearest_cost(manifest: Manifest, macs: float) -> str:
    """The expert whose cost is nearest to `macs`."""
    return min(sorted(manifest.experts), key=lambda name: abs(manifest.experts[name].macs - macs))


def expert_for(manifest: Manifest, route: Route) -> str:
    """The expert that serves a prompt, or the fallback. Raises `CodeUnavailable`."""
    name, _ = wanted(manifest.router, route)
    expert = name if name in manifest.experts else manifest.router.fallback
    if expert is None:
        raise CodeUnavailable(
            f"a prompt is routed to expert {name}, which the bundle does not hold, and no fallback; "
            f"build it with `python -m export.build --codes all{',dense' if name == DENSE else ''}`, "
            "or leave --prompts out"
        )
    return expert
