"""The runtime: a bundle opened once, prompts in, images out."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
import numpy.typing as npt

from .batching import Batcher, default_batch
from .bundle.reader import Bundle
from .bundle.schema import DENSE
from .cache import Cache
from .engines.choice import choose
from .engines.engine import Engine
from .engines.residency import default_budget
from .errors import CodeUnavailable, RuntimeFailure, UsageError
from .generated import Choice, Generated, to_pixels
from .models import Models
from .noise import normal
from .request import Request
from .router import Route, wanted
from .schedule import Solver, Trajectory
from .settings import (
    Settings,
    check_code,
    check_latents,
    check_limit,
    check_seeds,
    latents_size,
    resolve,
)
from .tokenizer import check_prompt

Float32 = npt.NDArray[np.float32]
OnStep = Callable[[int, int, int], None]  # the image's index, rows done, rows in all
OnImage = Callable[[int, Generated | RuntimeFailure], None]  # the image's index, and what became of it


@dataclass(eq=False, slots=True)
class _Job:
    """A request and what its reply will say. `seconds` is the time spent on it outside UNet calls."""

    index: int
    prompt: str
    choice: Choice
    seed: int | None
    dropped: tuple[int, int]  # tokens of the prompt and of the negative one
    request: Request
    seconds: float


class _Outcomes:
    """What became of each image; `on_image` hears of it at once."""

    def __init__(self, on_image: OnImage | None) -> None:
        self._on_image = on_image
        self._images: dict[int, Generated] = {}
        self._failures: dict[int, RuntimeFailure] = {}

    def add(self, index: int, outcome: Generated | RuntimeFailure) -> None:
        if isinstance(outcome, Generated):
            self._images[index] = outcome
        else:
            self._failures[index] = outcome
        if self._on_image:
            self._on_image(index, outcome)

    def images(self) -> list[Generated]:
        """All images in order. Raises the first failure, if there is one."""
        if self._failures:
            raise self._failures[min(self._failures)]
        return [image for _, image in sorted(self._images.items())]


class Runtime:
    """An opened bundle. A context manager: leaving it closes the engines."""

    def __init__(self, bundle: Bundle, models: Models, batch: int, engine: str) -> None:
        self.bundle, self.batch, self.engine = bundle, batch, engine
        self._models = models
        self._solvers: dict[str, Solver] = {}

    @classmethod
    def open(
        cls,
        bundle: str | Path = "bundle",
        *,
        engine: str = "auto",
        cache: str | Path | None = None,
        batch: int | None = None,
        memory: int | None = None,
        threads: int | None = None,
    ) -> "Runtime":
        """Open the bundle at a path.

        `engine` is what runs the UNet: `cpu`, `openvino`, `cuda`, `tensorrt-ep`, `aoti`, `tensorrt`,
        `supernet` (one engine of all codes, whose requests share calls), or `auto` for the best that can be
        had here (`runtime.engines.choice`); `cache` a folder for derived files; `batch` how many requests may
        share a UNet call (default: 8 if the largest expert takes fewer than 10^9 MACs, else 1: see
        `default_batch`); `memory` the bytes that the open experts and decoders may hold together (default:
        half of the machine's); `threads` those of one call.
        On engine `cpu` an image was the same alone and in a crowd (the small default). Between `batch`
        1, whose engines are pinned to one request, and the others 0.02 % of its values differed by 1 of 255.
        Raises `UsageError`, `NotABundle`, `ManifestError`, `IntegrityError`, `EnvironmentMismatch`,
        `CacheFailure`, `EngineFailure`.
        """
        for name, value in (("batch", batch), ("memory", memory), ("threads", threads)):
            check_limit(value, name)
        opened = Bundle.open(bundle)
        chosen = choose(engine, opened.manifest)
        budget = default_budget() if memory is None else memory
        models = Models(opened, Cache(cache), chosen, budget, threads)
        if batch is None:
            batch = default_batch(max(expert.macs for expert in opened.manifest.experts.values()))
        return cls(opened, models, models.experts.fitting_batch(batch), chosen)

    def __enter__(self) -> "Runtime":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the engines. They open again if the runtime is used again."""
        self._models.close()

    @property
    def models(self) -> Models:
        """The bundle's graphs, for whoever runs or times them one by one."""
        return self._models

    def engine_for(self, expert: str, rows: int, height: int, width: int) -> Engine:
        """The engine that a UNet call of `rows` rows on latents [height, width] gets, opened if it is not.

        Raises `UsageError`, `IntegrityError`, `CacheFailure`, `EngineFailure`.
        """
        self._models.experts.check(expert, rows, height, width)
        # An engine per group size would hold the weights once more each: with batching, one serves all.
        return self._models.engine(expert, rows if self.batch == 1 else 0, height, width)

    def route(self, prompts: str | Sequence[str]) -> list[Route]:
        """The code and margin of each prompt. Raises `UsageError`, `EngineFailure`."""
        return [self._models.route(prompt) for prompt in _listed(prompts)]

    def generate(
        self,
        prompts: str | Sequence[str],
        *,
        negative_prompt: str = "",
        seed: int | Sequence[int] = 0,
        latents: Float32 | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        size: tuple[int, int] | None = None,
        solver: str | None = None,
        code: int | Literal["dense"] | None = None,
        on_step: OnStep | None = None,
        on_image: OnImage | None = None,
    ) -> list[Generated]:
        """One image per prompt, in order.

        Image i has seed `seed` + i, or the i-th of a sequence; `latents` float32 [C, H, W] or [N, C, H, W]
        replace the noise. `size` is (height, width) in pixels. `code` overrides the router. None: default.
        The failure of an image does not stop the others: `on_image` gets each image, or its failure, as soon
        as it is known, and the first failure is raised when all are through.
        Raises `UsageError`, `CodeUnavailable`, `ManifestError`, `IntegrityError`, `CacheFailure`,
        `EngineFailure`.
        """
        texts, manifest = _listed(prompts), self.bundle.manifest
        if latents is not None and size is None:
            size = latents_size(latents, manifest.decoder.scale)
        settings = resolve(
            manifest,
            solver=solver,
            steps=steps,
            guidance=guidance,
            size=size,
            negative_prompt=check_prompt(negative_prompt),
        )
        expert = self._asked(code)
        seeds = check_seeds(seed, len(texts))
        shape = self._latent_shape(settings)
        given = None if latents is None else check_latents(latents, len(texts), shape)
        course = self._solver(settings.solver).course(settings.steps)
        jobs, outcomes = [], _Outcomes(on_image)
        for index, prompt in enumerate(texts):
            own = seeds[index] if given is None else None
            noise = normal(seeds[index], shape) if given is None else given[index]
            try:
                jobs.append(self._job(index, prompt, own, settings, expert, Trajectory(course, noise)))
            except RuntimeFailure as failure:
                outcomes.add(index, failure)
        self._run(jobs, settings, outcomes, on_step)
        return outcomes.images()

    def _latent_shape(self, settings: Settings) -> tuple[int, int, int]:
        manifest = self.bundle.manifest
        scale = manifest.decoder.scale
        return manifest.latent.channels, settings.height // scale, settings.width // scale

    def _job(
        self,
        index: int,
        prompt: str,
        seed: int | None,
        settings: Settings,
        expert: str | None,
        trajectory: Trajectory,
    ) -> _Job:
        start = time.perf_counter()
        models, negative, guidance = self._models, settings.negative_prompt, settings.guidance
        choice = self._choose(prompt, expert)
        dropped = models.dropped_tokens(prompt, routed=expert is None)
        negative_dropped = models.dropped_tokens(negative, routed=False) if guidance != 1.0 else 0
        request = models.request(choice.expert, trajectory, prompt, negative, guidance)
        spent = time.perf_counter() - start
        return _Job(index, prompt, choice, seed, (dropped, negative_dropped), request, spent)

    def _solver(self, name: str) -> Solver:
        if name not in self._solvers:
            self._solvers[name] = Solver.load(self.bundle, name)
        return self._solvers[name]

    def _asked(self, code: int | str | None) -> str | None:
        expert = check_code(code, self.bundle.manifest.router.codes)
        if expert is not None and expert not in self.bundle.manifest.experts:
            raise self._unavailable(expert, "")
        return expert

    def _choose(self, prompt: str, asked: str | None) -> Choice:
        if asked is not None:
            return Choice(asked, None if asked == DENSE else int(asked), None, False)
        route, manifest = self._models.route(prompt), self.bundle.manifest
        name, unfamiliar = wanted(manifest.router, route)
        expert = name if name in manifest.experts else manifest.router.fallback
        if expert is None:
            raise self._unavailable(name, " and no fallback")
        return Choice(expert, route.code, route.margin, expert != name, route.distance, unfamiliar)

    def _unavailable(self, name: str, more: str) -> CodeUnavailable:
        built = ", ".join(sorted(self.bundle.manifest.experts))
        codes = "all,dense" if name == DENSE else "all"
        return CodeUnavailable(
            f"{self.bundle.root}: has no expert for code {name!r}{more}; it holds {built}. "
            f"Build it with `python -m export.build --codes {codes}`, or ask for one that is there"
        )

    def _run(
        self, jobs: Sequence[_Job], settings: Settings, outcomes: _Outcomes, on_step: OnStep | None
    ) -> None:
        batcher = Batcher(self.engine_for, self.batch)
        job_of = {id(job.request): job for job in jobs}
        # One expert after another: opening an engine costs several steps.
        for job in sorted(jobs, key=lambda job: job.choice.expert):
            batcher.submit(job.request)
        while batcher:
            for request in batcher.tick():
                job, trajectory = job_of[id(request)], request.trajectory
                if on_step and request.failure is None:
                    on_step(job.index, trajectory.position, len(trajectory.course.rows))
                if request.ended:
                    outcomes.add(job.index, self._outcome(job, settings))

    def _outcome(self, job: _Job, settings: Settings) -> Generated | RuntimeFailure:
        try:
            decoded, seconds = self._models.decode(job.request.result())
            pixels = to_pixels(decoded)
        except RuntimeFailure as failure:
            return failure
        spent = job.seconds + job.request.seconds + seconds
        return Generated(pixels, job.prompt, job.choice, job.seed, settings, *job.dropped, 1000 * spent)


def _listed(prompts: str | Sequence[str]) -> list[str]:
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not texts:
        raise UsageError("no prompt was given; give at least one (an empty string is one)")
    return [check_prompt(text) for text in texts]
