"""Who does the work that the scheduler hands out, on a bundle's models: prepares, opens, calls, decodes.

Knows nothing of threads: the service calls each of these from one thread at a time, in any order.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.bundle.schema import DENSE
from runtime.diffusion.noise import normal
from runtime.diffusion.schedule import Trajectory
from runtime.engines.engine import Engine
from runtime.errors import CodeUnavailable
from runtime.models.models import Models
from runtime.models.router import wanted
from runtime.service.batch import Batch
from runtime.service.generated import Generated, RoutingDecision, to_pixels
from runtime.service.health import Health
from runtime.service.job import EngineKey, Job
from runtime.service.order import Order, unavailable
from runtime.service.work_stats import DECODING, ENCODING, OPENING, ROUTING, UNET, WorkStats


class Executor:
    """Works on whichever models a job was given. `health`: how its calls went; `tally`: what they came to."""

    def __init__(self, health: Health, clock: Callable[[], float] = time.monotonic) -> None:
        self.health, self.tally, self._clock = health, WorkStats(), clock
        self._calls: dict[EngineKey, Batch] = {}

    def prepare(self, job: Job) -> None:
        """Encode, route, and draw the start noise."""
        start = time.perf_counter()
        order, models = job.order, job.models
        negative, guidance = order.settings.negative_prompt, order.settings.guidance
        with self.tally.timing(ENCODING):
            models.condition(order.prompt)  # remembered from here on
            if guidance != 1.0:
                models.condition(negative)
        with self.tally.timing(ROUTING):
            choice = self._choose(job)
        dropped = models.dropped_tokens(order.prompt, routed=order.expert is None)
        unread = 0 if guidance == 1.0 else models.dropped_tokens(negative, routed=False)
        trajectory = Trajectory(order.course, _noise(order))
        request = models.request(choice.expert, trajectory, order.prompt, negative, guidance)
        job.begin(choice, request, (dropped, unread))
        job.seconds += time.perf_counter() - start

    def open(self, key: EngineKey) -> Any:
        """The engine, or the decoder's session."""
        with self.tally.timing(OPENING):
            if key.decodes:
                return key.models.open_decoder(key.bucket)
            with self._noting(key):
                return key.models.open_engine(key.bucket)

    def call(self, key: EngineKey, engine: Any, jobs: Sequence[Job]) -> None:
        """A step of all jobs in one UNet call, or the decoding of one."""
        if key.decodes:
            with self.tally.timing(DECODING):
                for job in jobs:
                    job.image = _decoded(job, engine)
                    self.tally.experts[job.image.choice.expert].images += 1
            return
        with self._noting(key):
            self._step(key, engine, jobs)
        self.health.worked(_patient(key))

    def close(self, key: EngineKey, engine: Any) -> None:
        """Forget what was kept for an engine."""
        self._calls.pop(key, None)

    def _step(self, key: EngineKey, engine: Engine, jobs: Sequence[Job]) -> None:
        requests = [job.request for job in jobs if job.request is not None]
        experts = [request.expert for request in requests]
        call = self._calls.get(key)
        if call is None or call.requests != requests:
            call = self._calls[key] = Batch(requests)
        before = self.tally.seconds[UNET]
        with self.tally.timing(UNET):
            call.run(engine)
        seconds = self.tally.seconds[UNET] - before
        self.tally.called(requests, experts, seconds)
        key.models.capacity.called(key.bucket, len(requests), len(call.sample), seconds)

    @contextmanager
    def _noting(self, key: EngineKey) -> Iterator[None]:
        try:
            yield
        except Exception:
            self.health.failed(_patient(key), self._clock())
            raise

    def _choose(self, job: Job) -> RoutingDecision:
        models, expert = job.models, job.order.expert
        if expert is not None:
            self._refuse_quarantined(job, expert)
            return RoutingDecision(expert, None if expert == DENSE else int(expert), None, False)
        route, manifest = models.route(job.order.prompt), models.bundle.manifest
        name, unfamiliar = wanted(manifest.router, route)
        serving: str | None = name
        if name not in manifest.experts or self.is_quarantined(models, name):
            serving = manifest.router.fallback
        if serving is None:
            self._refuse_quarantined(job, name)
            raise unavailable(models.bundle, name, " and no fallback")
        self._refuse_quarantined(job, serving)
        return RoutingDecision(serving, route.code, route.margin, serving != name, route.distance, unfamiliar)

    def _refuse_quarantined(self, job: Job, expert: str) -> None:
        if self.is_quarantined(job.models, expert):
            raise CodeUnavailable(
                f"expert {expert!r} failed {self.health.failures} times in a row and is left alone for "
                f"{self.health.seconds:g} s; the log says why. Ask for another code, or again later"
            )

    def is_quarantined(self, models: Models, expert: str) -> bool:
        """Whether nobody is sent to an expert now."""
        return self.health.quarantined((models, models.experts.engine_of(expert)), self._clock())


def _patient(key: EngineKey) -> tuple[Models, str]:
    """Whose health it is: an expert's, whatever its engines are specialised to."""
    return key.models, key.bucket.model


def _noise(order: Order) -> npt.NDArray[np.float32]:
    if order.latents is not None:
        return order.latents
    assert order.seed is not None
    return normal(order.seed, order.shape)


def _decoded(job: Job, session: Any) -> Generated:
    assert job.request is not None
    assert job.choice is not None
    decoded, seconds = job.models.decode(session, job.request.result())
    spent = job.seconds + job.request.seconds + seconds
    order = job.order
    return Generated(
        to_pixels(decoded), order.prompt, job.choice, order.seed, order.settings, *job.dropped, 1000 * spent
    )
