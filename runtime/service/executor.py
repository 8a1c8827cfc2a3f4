"""The work that the scheduler hands out, done on a bundle's models: prepare, open, call, decode.

Knows nothing of threads: the dispatcher calls each of these from one thread at a time, in any order.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.bundle.schema import DENSE
from runtime.diffusion.noise import normal
from runtime.diffusion.pixels import to_pixels
from runtime.diffusion.schedule import Trajectory
from runtime.engines.engine import Engine
from runtime.errors import Quarantined
from runtime.models.models import Models
from runtime.models.router import wanted
from runtime.service.batch import Batch
from runtime.service.denoising import Denoising
from runtime.service.generated import Generated, RoutingDecision
from runtime.service.health import Health
from runtime.service.request import EngineKey, Request, unavailable
from runtime.service.work_stats import DECODING, ENCODING, OPENING, ROUTING, UNET, WorkStats


class Executor:
    """Works on the models that a request brings. `health`: how its calls went; `stats`: what they came to."""

    def __init__(self, health: Health, clock: Callable[[], float] = time.monotonic) -> None:
        self.health, self.stats, self._clock = health, WorkStats(), clock
        self._batches: dict[EngineKey, Batch] = {}

    def prepare(self, request: Request) -> None:
        """Encode, route, and draw the start noise."""
        start = time.perf_counter()
        models, params = request.models, request.params
        with self.stats.timing(ENCODING):
            models.condition(request.prompt)  # remembered from here on
            if params.guidance != 1.0:
                models.condition(params.negative_prompt)
        with self.stats.timing(ROUTING):
            choice = self._choose(request)
        dropped = models.dropped_tokens(request.prompt, routed=params.expert is None)
        unread = 0 if params.guidance == 1.0 else models.dropped_tokens(params.negative_prompt, routed=False)
        trajectory = Trajectory(request.solver_steps, _noise(request))
        prompts = request.prompt, params.negative_prompt
        denoising = denoising_of(models, choice.expert, trajectory, prompts, params.guidance)
        request.begin(choice, denoising, (dropped, unread))
        request.seconds += time.perf_counter() - start

    def open(self, key: EngineKey) -> Any:
        """Open the engine, or the decoder's session."""
        with self.stats.timing(OPENING):
            if key.decodes:
                return key.models.open_decoder(key.bucket)
            with self._noting(key):
                return key.models.open_engine(key.bucket)

    def call(self, key: EngineKey, engine: Any, requests: Sequence[Request]) -> None:
        """Take a step of all requests in one UNet call, or decode one."""
        if key.decodes:
            with self.stats.timing(DECODING):
                for request in requests:
                    request.image = _decoded(request, engine)
                    self.stats.experts[request.image.choice.expert].images += 1
            return
        with self._noting(key):
            self._step(key, engine, requests)
        self.health.worked(_patient(key))

    def close(self, key: EngineKey, engine: Any) -> None:
        """Forget what was kept for an engine."""
        self._batches.pop(key, None)

    def _step(self, key: EngineKey, engine: Engine, requests: Sequence[Request]) -> None:
        images = [request.denoising for request in requests if request.denoising is not None]
        batch = self._batches.get(key)
        if batch is None or batch.images != images:
            batch = self._batches[key] = Batch(images)
        before = self.stats.seconds[UNET]
        with self.stats.timing(UNET):
            batch.run(engine)
        seconds = self.stats.seconds[UNET] - before
        self.stats.called(images, seconds)
        key.models.capacity.called(key.bucket, len(images), len(batch.sample), seconds)

    @contextmanager
    def _noting(self, key: EngineKey) -> Iterator[None]:
        try:
            yield
        except Exception:
            self.health.failed(_patient(key), self._clock())
            raise

    def _choose(self, request: Request) -> RoutingDecision:
        models, expert = request.models, request.params.expert
        if expert is not None:
            self._refuse_quarantined(models, expert)
            return RoutingDecision(expert, None if expert == DENSE else int(expert), None, False)
        route, manifest = models.route(request.prompt), models.bundle.manifest
        name, far = wanted(manifest.router, route)
        serving: str | None = name
        if name not in manifest.experts or self.is_quarantined(models, name):
            serving = manifest.router.fallback
        if serving is None:
            self._refuse_quarantined(models, name)
            raise unavailable(models.bundle, name, " and no fallback")
        self._refuse_quarantined(models, serving)
        return RoutingDecision(serving, route.code, route.margin, serving != name, route.distance, far)

    def _refuse_quarantined(self, models: Models, expert: str) -> None:
        if self.is_quarantined(models, expert):
            raise Quarantined(
                f"expert {expert!r} failed {self.health.failures} times in a row and is left alone for "
                f"{self.health.seconds:g} s; the log says why. Ask for another code, or again later",
                self.health.seconds,
            )

    def is_quarantined(self, models: Models, expert: str) -> bool:
        """Return whether nobody is sent to an expert now."""
        return self.health.quarantined((models, models.experts.engine_of(expert)), self._clock())


def _patient(key: EngineKey) -> tuple[Models, str]:
    """Return whose health it is: an expert's, whatever its engines are specialised to."""
    return key.models, key.bucket.model


def denoising_of(
    models: Models, expert: str, trajectory: Trajectory, prompts: tuple[str, str], guidance: float
) -> Denoising:
    """Begin an image by an expert. The second prompt, the negative one, is read where guidance is on."""
    own = models.experts.conditioning(expert)
    wanted = {**models.condition(prompts[0]), **own}
    unwanted = None if guidance == 1.0 else {**models.condition(prompts[1]), **own}
    embedding = models.clock(expert, trajectory.steps)
    return Denoising(expert, trajectory, embedding, wanted, unwanted, guidance)


def _noise(request: Request) -> npt.NDArray[np.float32]:
    latents = request.params.latents
    return normal(request.params.seed, request.shape) if latents is None else latents


def _decoded(request: Request, session: Any) -> Generated:
    assert request.denoising is not None
    assert request.choice is not None
    decoded, seconds = request.models.decode(session, request.denoising.result())
    spent = request.seconds + request.denoising.seconds + seconds
    pixels = to_pixels(decoded)
    return Generated(pixels, request.prompt, request.choice, request.params, *request.dropped, 1000 * spent)
