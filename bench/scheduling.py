"""The scheduler's cost for a mixture: the same images by the service, and by engines called in a loop.

    python -m bench.scheduling --bundle bundle [--rounds 5]

64 requests are always under way over all codes, in three ways that take turns: *flat out*, where full calls
of one expert after another are made on one thread, everything routed and sorted before the clock starts;
*scheduled*, by the service as it serves; and *half the memory*, by a service whose budget holds half of the
experts. Encoding and decoding are in all three. *Beside the engines* is what a pass took beyond its calls of
UNet and decoder, which tells the scheduler's own share where a machine's speed wanders between passes.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from aptp.evaluate.verdicts import unseen
from bench.report import save, spread
from runtime import Pipeline
from runtime.bench.mixture import ClosedLoop
from runtime.cli.parser import Parser, run
from runtime.models.models import Models
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams, code_of
from runtime.service.batch import Batch
from runtime.service.executor import Executor
from runtime.service.health import Health
from runtime.service.request import EngineKey, Request
from runtime.service.work_stats import DECODING, UNET

RUNNING = 64


class Took(NamedTuple):
    """Seconds of a pass, and those of its calls of UNet and decoder."""

    seconds: float
    engines: float


class FlatOut:
    """Engines without a scheduler."""

    def __init__(self, models: Models, guidance: float) -> None:
        self._models, self._executor, self._guidance = models, Executor(Health()), guidance
        self._engines: dict[EngineKey, object] = {}
        self._calls = 0.0

    def take(self, prompts: Sequence[str]) -> Took:
        """Draw an image of every prompt."""
        by_expert: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for seed, prompt in enumerate(prompts):
            by_expert[str(self._models.route(prompt).code)].append((seed, prompt))
        self._models.forget_prompts()
        self._calls, before = 0.0, self._executor.stats.seconds[DECODING]
        start, batch = time.perf_counter(), self._models.batch
        for expert, theirs in sorted(by_expert.items()):
            for first in range(0, len(theirs), batch):
                self._group([self._request(*each, expert) for each in theirs[first : first + batch]])
        seconds = time.perf_counter() - start
        return Took(seconds, self._calls + self._executor.stats.seconds[DECODING] - before)

    def _request(self, seed: int, prompt: str, expert: str) -> Request:
        params = GenerationParams(seed=seed, guidance=self._guidance, code=code_of(expert))
        request = Request.checked(self._models, prompt, params, RequestOptions(), lambda event: None)
        self._executor.prepare(request)
        return request

    def _group(self, requests: Sequence[Request]) -> None:
        images = [request.denoising for request in requests if request.denoising is not None]
        batch, engine = Batch(images), self._engine(requests[0].need)
        start = time.perf_counter()
        while not images[0].ended:
            batch.run(engine)  # type: ignore[arg-type]
        self._calls += time.perf_counter() - start
        for request in requests:
            self._executor.call(request.need, self._engine(request.need), [request])

    def _engine(self, place: EngineKey) -> object:
        if place not in self._engines:
            self._engines[place] = self._executor.open(place)
        return self._engines[place]


def half(models: Models) -> int:
    """Return the bytes that hold the decoder and the larger half of the experts."""
    latent = models.bundle.manifest.latent
    size = latent.height, latent.width
    experts = sorted(models.cost(models.bucket(name, 1, *size)) for name in models.bundle.manifest.experts)
    return sum(experts[len(experts) // 2 :]) + models.cost(models.decoder_bucket(*size))


def main() -> None:
    parser = Parser(prog="python -m bench.scheduling", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("bundle"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--num-prompts", dest="prompts", type=int, default=128)
    parser.add_argument("--guidance", type=float, default=2.0)
    options = parser.parse_args()
    prompts = [sample.caption for sample in unseen(options.prompts)]
    with ExitStack() as stack:
        opened = stack.enter_context(Pipeline.open(options.bundle, max_running=RUNNING))
        tight = stack.enter_context(
            Pipeline.open(options.bundle, max_running=RUNNING, memory=half(opened.models))
        )
        params = GenerationParams(guidance=options.guidance).resolve(opened.bundle.manifest)
        loops = [ClosedLoop(each, params, RUNNING) for each in (opened, tight)]
        flat = FlatOut(opened.models, options.guidance)
        ways: dict[str, Callable[[], Took]] = {
            "flat out": lambda: flat.take(prompts),
            "scheduled": lambda: scheduled(loops[0], prompts),
            "half the memory": lambda: scheduled(loops[1], prompts),
        }
        for way in ways.values():
            way()
        samples: dict[str, list[Took]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                samples[name].append(way())
    tables = {f"{len(prompts)} images, {RUNNING} under way": table(samples, len(prompts))}
    raw = {name: [took._asdict() for took in passes] for name, passes in samples.items()}
    save("scheduling", "What the scheduler costs a mixture", tables, raw)


def scheduled(loop: ClosedLoop, prompts: Sequence[str]) -> Took:
    """Make a pass of the service."""
    done = loop.take(prompts)
    return Took(done.seconds, done.shares[UNET] + done.shares[DECODING])


def table(samples: dict[str, list[Took]], images: int) -> list[dict[str, str]]:
    """Return each way, and its throughput as a share of another's in the same round."""
    shares = {"scheduled": "flat out", "half the memory": "scheduled"}
    rows = []
    for name, passes in samples.items():
        seconds = [took.seconds for took in passes]
        beside = median(1 - took.engines / took.seconds for took in passes)
        other = shares.get(name)
        ratios = [b.seconds / a for a, b in zip(seconds, samples[other], strict=True)] if other else []
        rows.append(
            {
                "way": name,
                "seconds": spread(seconds),
                "images a second": f"{images / median(seconds):.1f}",
                "throughput": f"{quartiles(ratios)} of {other}" if other else "",
                "beside the engines": f"{beside:.1%}",
            }
        )
    return rows


def quartiles(ratios: Sequence[float]) -> str:
    """Return `median [lower-upper quartile]`."""
    low, middle, high = quantiles(ratios, n=4) if len(ratios) > 1 else 3 * list(ratios)
    return f"{middle:.3f} [{low:.3f}-{high:.3f}]"


if __name__ == "__main__":
    run(main)
