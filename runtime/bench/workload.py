"""The timed calls on one opened bundle: UNet step, loop, prompt to pixels, and the small parts.

Times are the host's, from arrays in its memory to arrays in its memory. Refuses to time what returns
nonsense.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np
import numpy.typing as npt

from runtime.api.pipeline import Pipeline
from runtime.diffusion.noise import normal
from runtime.diffusion.schedule import Trajectory
from runtime.engines.engine import Engine
from runtime.engines.shape_bucket import ShapeBucket
from runtime.errors import EngineFailure
from runtime.request.params import ResolvedParams, code_of
from runtime.service.batch import Batch
from runtime.service.denoising import Denoising
from runtime.service.executor import denoising_of
from runtime.timing.turns import Work

Float32 = npt.NDArray[np.float32]
Clock = Callable[[], float]
Inputs = dict[str, Float32]  # what a UNet call takes, by a graph's names

PROMPT = "a large red circle left of a small blue square"


class Workload:
    """The timed calls on `runtime`, with `params`."""

    def __init__(self, runtime: Pipeline, params: ResolvedParams, clock: Clock = time.perf_counter) -> None:
        self.runtime, self.params, self._clock = runtime, params, clock
        self.shape = params.shape(runtime.bundle.manifest)
        self.solver_steps = runtime.models.solver_steps(params)
        self._numbers = count()
        self._engines: dict[ShapeBucket, Engine] = {}

    def engine(self, expert: str, rows: int) -> Engine:
        """Return the engine for UNet calls of `rows` rows, opened if it is not, whatever memory it takes."""
        models, (_, height, width) = self.runtime.models, self.shape
        bucket = models.bucket(expert, rows, height, width)
        if bucket not in self._engines:
            self._engines[bucket] = models.open_engine(bucket)
        return self._engines[bucket]

    def close(self) -> None:
        """Let go of all engines; they open again when they are needed."""
        self._engines.clear()
        self.runtime.free()

    @property
    def calls(self) -> int:
        """UNet rows that one image takes."""
        return len(self.solver_steps.rows) * (1 if self.params.guidance == 1.0 else 2)

    @property
    def _half_way(self) -> int:
        return len(self.solver_steps.rows) // 2

    def inputs(self, rows: int) -> Inputs:
        """Return the inputs of a UNet call of `rows` rows half-way through an image: noise, and a prompt's
        encoding.

        By the names of the portable graph; `served` are those of an expert's serving graph.
        """
        timestep = self.solver_steps.rows[self._half_way].timestep
        conditioning = self.runtime.models.condition(PROMPT)
        return {
            "sample": np.stack([normal(seed, self.shape) for seed in range(rows)]),
            "timestep": np.full(rows, timestep, np.float32),
            **{name: np.repeat(array, rows, axis=0) for name, array in conditioning.items()},
        }

    def served(self, expert: str, rows: int) -> Inputs:
        """Return the same with the time embedding of the expert's clock in place of the timestep."""
        inputs, models = self.inputs(rows), self.runtime.models
        table = models.clock(expert, self.solver_steps)
        del inputs["timestep"]
        own = {**models.experts.conditioning(expert), "time_embedding": table[self._half_way][None]}
        return {**inputs, **{name: np.repeat(array, rows, axis=0) for name, array in own.items()}}

    def step(self, expert: str, rows: int) -> Callable[[], Float32]:
        """Return a function that makes one UNet call. Opens the engine now, so that calls do not."""
        inputs, engine = self.served(expert, rows), self.engine(expert, rows)
        sample, embedding = inputs.pop("sample"), inputs.pop("time_embedding")
        return lambda: engine.run(sample, embedding, inputs)

    def loop(self, expert: str) -> Callable[[], Float32]:
        """Return a function that makes all steps of one image, from encoded prompt to final latents."""

        def run() -> Float32:
            image = self.denoising(PROMPT, expert, seed=0)
            engine, call = self.engine(expert, image.rows), Batch([image])
            while not image.ended:
                call.run(engine)
            return image.result()

        return run

    def image(self, expert: str) -> Callable[[], npt.NDArray[np.uint8]]:
        """Time prompt to pixels by a given expert; routing the prompt is part of the time.

        Every call has a prompt of its own, which no encoder remembers. The negative one stays remembered, as
        it does while serving.
        """
        params = replace(self.params, code=code_of(expert))

        def run() -> npt.NDArray[np.uint8]:
            prompt = self._fresh()
            self.runtime.route(prompt)
            (image,) = self.runtime.generate(prompt, params)
            return image.pixels

        return run

    def parts(self) -> dict[str, Callable[[], object]]:
        """Return the calls around the UNet: each on its own, on one prompt or one image."""
        models, latents = self.runtime.models, normal(0, self.shape)
        models.route(PROMPT)  # its encoding is remembered from here on
        decoder = models.open_decoder(models.decoder_bucket(*self.shape[1:]))
        found: dict[str, Callable[[], object]] = {"text encoder": lambda: models.condition(self._fresh())}
        if models.routes_apart:
            found["prompt encoder and router"] = lambda: models.route(self._fresh())
        found["router"] = lambda: models.route(PROMPT)
        found["VAE decoder"] = lambda: models.decode(decoder, latents)
        return found

    def denoising(self, prompt: str, expert: str, seed: int) -> Denoising:
        """Begin an image by `expert`."""
        trajectory = Trajectory(self.solver_steps, normal(seed, self.shape))
        prompts = prompt, self.params.negative_prompt
        return denoising_of(self.runtime.models, expert, trajectory, prompts, self.params.guidance)

    def timed(self, call: Callable[[], object]) -> Work:
        """Return a call as work for `Turns`."""

        def work() -> float:
            start = self._clock()
            call()
            return self._clock() - start

        return work

    def _fresh(self) -> str:
        return f"{PROMPT} {next(self._numbers)}"


def check_output(output: npt.NDArray[np.generic], where: str) -> None:
    """Refuse to time what is broken. Raises `EngineFailure` for values not finite, or all the same."""
    if not np.isfinite(output).all():
        raise EngineFailure(f"{where}: not timed, its output is not finite")
    if np.ptp(output) == 0:
        raise EngineFailure(f"{where}: not timed, all values of its output are the same")


def distance(output: Float32, reference: Float32) -> float:
    """Return how far two outputs for the same inputs are apart: rms of the difference over the
    reference's.
    """
    difference = output.astype(np.float64) - reference
    return float(np.sqrt(np.mean(difference**2) / np.mean(np.square(reference, dtype=np.float64))))
