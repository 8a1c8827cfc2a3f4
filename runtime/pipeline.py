"""The runtime: a bundle opened once, prompts in, images out."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
import numpy.typing as npt

from .batching import Batcher
from .bundle.reader import Bundle
from .bundle.schema import DENSE
from .cache import Cache
from .engines.engine import Engine
from .engines.onnx import choose_provider
from .engines.residency import default_budget
from .errors import CodeUnavailable, UsageError
from .generated import Choice, Generated, to_pixels
from .models import Models
from .noise import normal
from .request import Request, constant_plan
from .router import Route
from .schedule import Solver, Trajectory
from .settings import Settings, check_code, check_latents, check_seeds, latents_size, resolve
from .tokenizer import check_prompt

Float32 = npt.NDArray[np.float32]
OnStep = Callable[[int, int, int], None]  # the image's index, rows done, rows in all


@dataclass(eq=False, slots=True)
class _Job:
    """A request and what its reply will say. `seconds` is the time spent on it outside UNet calls."""

    prompt: str
    choice: Choice
    seed: int | None
    dropped: int
    request: Request
    seconds: float


class Runtime:
    """An opened bundle. A context manager: leaving it closes the engines."""

    def __init__(self, bundle: Bundle, models: Models, batch: int, provider: str) -> None:
        self.bundle, self.batch, self.provider = bundle, batch, provider
        self._models = models
        self._solvers: dict[str, Solver] = {}

    @classmethod
    def open(
        cls,
        bundle: str | Path = "bundle",
        *,
        provider: str = "auto",
        cache: str | Path | None = None,
        batch: int = 1,
        memory: int | None = None,
        threads: int | None = None,
    ) -> "Runtime":
        """Open the bundle at a path.

        `provider` is `auto`, `openvino` or `cpu`; `cache` a folder for derived files; `batch` how many
        requests may share a UNet call; `memory` the bytes that open engines may hold (default: half of the
        machine's); `threads` those of one call.
        Raises `UsageError`, `ManifestError`, `IntegrityError`, `EnvironmentMismatch`, `CacheFailure`.
        """
        for name, value in (("batch", batch), ("memory", memory), ("threads", threads)):
            if value is not None and value < 1:
                raise UsageError(f"{name} {value}: give an integer of at least 1")
        opened = Bundle.open(bundle)
        chosen = choose_provider(provider)
        budget = default_budget() if memory is None else memory
        return cls(opened, Models(opened, Cache(cache), chosen, budget, threads), batch, chosen)

    def __enter__(self) -> "Runtime":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the engines. They open again if the runtime is used again."""
        self._models.close()

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
    ) -> list[Generated]:
        """One image per prompt, in order.

        Image i has seed `seed` + i, or the i-th of a sequence; `latents` float32 [C, H, W] or [N, C, H, W]
        replace the noise. `size` is (height, width) in pixels. `code` overrides the router. None: default.
        Raises `UsageError`, `CodeUnavailable`, `IntegrityError`, `CacheFailure`, `EngineFailure`.
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
        expert = check_code(code, manifest.router.codes)
        seeds = check_seeds(seed, len(texts))
        shape = self._latent_shape(settings)
        given = None if latents is None else check_latents(latents, len(texts), shape)
        jobs = []
        for index, prompt in enumerate(texts):
            noise = normal(seeds[index], shape) if given is None else given[index]
            jobs.append(self._job(prompt, seeds[index] if given is None else None, noise, settings, expert))
        return self._run(jobs, settings, on_step)

    def _latent_shape(self, settings: Settings) -> tuple[int, int, int]:
        manifest = self.bundle.manifest
        scale = manifest.decoder.scale
        return manifest.latent.channels, settings.height // scale, settings.width // scale

    def _job(
        self, prompt: str, seed: int | None, noise: Float32, settings: Settings, expert: str | None
    ) -> _Job:
        start = time.perf_counter()
        course = self._solver(settings.solver).course(settings.steps)
        conditioning, dropped = self._models.condition(prompt)
        guided = settings.guidance != 1.0
        negative = self._models.condition(settings.negative_prompt)[0] if guided else None
        choice = self._choose(prompt, expert)
        plan = constant_plan(choice.expert, len(course.rows))
        request = Request(plan, Trajectory(course, noise), conditioning, negative, settings.guidance)
        return _Job(prompt, choice, seed, dropped, request, time.perf_counter() - start)

    def _solver(self, name: str) -> Solver:
        if name not in self._solvers:
            self._solvers[name] = Solver.load(self.bundle, name)
        return self._solvers[name]

    def _choose(self, prompt: str, asked: str | None) -> Choice:
        route = self._models.route(prompt) if asked is None else None
        name = str(route.code) if route else str(asked)
        experts, fallback = self.bundle.manifest.experts, self.bundle.manifest.router.fallback
        expert = name if name in experts else fallback
        if expert is None:
            built = ", ".join(sorted(experts))
            raise CodeUnavailable(
                f"{self.bundle.root}: has no expert for code {name!r} and no fallback; it holds {built}. "
                f"Build the rest with `python -m export.build --codes all`, or ask for one that is there"
            )
        return Choice(
            expert, None if name == DENSE else int(name), route.margin if route else None, expert != name
        )

    def _run(self, jobs: Sequence[_Job], settings: Settings, on_step: OnStep | None) -> list[Generated]:
        batcher = Batcher(self._engine_for, self.batch)
        index_of = {id(job.request): index for index, job in enumerate(jobs)}
        # One expert after another: opening an engine costs several steps.
        for job in sorted(jobs, key=lambda job: job.choice.expert):
            batcher.submit(job.request)
        results: list[Generated | None] = [None] * len(jobs)
        while batcher:
            for request in batcher.tick():
                index, trajectory = index_of[id(request)], request.trajectory
                if on_step:
                    on_step(index, trajectory.position, len(trajectory.course.rows))
                if trajectory.done:
                    results[index] = self._finish(jobs[index], settings)
        return [result for result in results if result is not None]

    def _engine_for(self, expert: str, rows: int, height: int, width: int) -> Engine:
        # An engine per group size would hold the weights once more each: with batching, one serves all.
        return self._models.engine(expert, rows if self.batch == 1 else 0, height, width)

    def _finish(self, job: _Job, settings: Settings) -> Generated:
        image, seconds = self._models.decode(job.request.result())
        spent = job.seconds + job.request.seconds + seconds
        return Generated(
            to_pixels(image), job.prompt, job.choice, job.seed, settings, job.dropped, 1000 * spent
        )


def _listed(prompts: str | Sequence[str]) -> list[str]:
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not texts:
        raise UsageError("no prompt was given; give at least one (an empty string is one)")
    return [check_prompt(text) for text in texts]
