"""The runtime for synchronous programs: lists of prompts to lists of images, from any number of threads."""

import queue
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runtime.api import diffusers_api
from runtime.bundle.reader import Bundle
from runtime.errors import RuntimeFailure, UsageError
from runtime.models.models import Models
from runtime.models.router import RouterOutput
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams
from runtime.scheduling.scheduler import QueueLimits
from runtime.scheduling.ticket import Ticket
from runtime.service.events import Event, Finished, Step
from runtime.service.generated import Generated
from runtime.service.request import Request
from runtime.service.runtime_core import RuntimeCore, limits

OnStep = Callable[[int, int, int], None]  # the image's index, rows done, rows in all
OnImage = Callable[[int, Generated | RuntimeFailure], None]  # the image's index, and what became of it


class Pipeline:
    """An opened bundle. A context manager: leaving it closes the engines, and so does dropping it.

    It is of one process: a child that is forked later gets `Forked`, and opens the bundle itself.
    """

    def __init__(self, core: RuntimeCore) -> None:
        if isinstance(core, str | Path):
            raise UsageError(f"Pipeline({str(core)!r}): open a bundle with Pipeline.open({str(core)!r})")
        self.core = core

    @classmethod
    def open(
        cls,
        bundle: str | Path = "bundle",
        *,
        engine: str = "auto",
        precision: str | None = None,
        cache: str | Path | None = None,
        cache_group_writable: bool = False,
        batch: int | None = None,
        memory: int | None = None,
        threads: int | None = None,
        max_running: int | None = None,
        max_queued: int | None = None,
    ) -> Self:
        """Open the bundle at a path.

        `engine`, `precision`, `cache`, `cache_group_writable`, `batch` and `threads` are those of
        `Models.open`. `memory` are the bytes that the open experts and decoders may hold
        together (default: half of the machine's);
        `max_running` images are under way at once (default: a full call of every expert), and `max_queued`
        wait (default: any number, and callers with them); others are refused with `QueueFull`.
        Raises `UsageError`, `NotABundle`, `ManifestError`, `IntegrityError`, `EnvironmentMismatch`,
        `CacheFailure`, `EngineFailure`, `Unavailable`.
        """
        opener = partial(
            Models.open,
            engine=engine,
            precision=precision,
            cache=cache,
            cache_group_writable=cache_group_writable,
            batch=batch,
            threads=threads,
        )
        return cls(
            RuntimeCore(bundle, opener, lambda models: _limits(models, max_running, max_queued), memory)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the engines."""
        self.core.dispatcher.close()

    def free(self) -> None:
        """Close the engines that are not in use. They open again when they are needed."""
        self.core.dispatcher.evict(lambda key: True)

    @property
    def bundle(self) -> Bundle:
        """The opened bundle."""
        return self.core.models.bundle

    @property
    def models(self) -> Models:
        """The bundle's graphs, for whoever runs or times them one by one."""
        return self.core.models

    def route(self, prompts: str | Sequence[str]) -> list[RouterOutput]:
        """Return the code and margin of each prompt. Raises `UsageError`, `EngineFailure`."""
        return [self.models.route(prompt) for prompt in diffusers_api.listed(prompts)]

    def generate(
        self,
        prompts: str | Sequence[str],
        params: GenerationParams | Sequence[GenerationParams] | None = None,
        *,
        on_step: OnStep | None = None,
        on_image: OnImage | None = None,
    ) -> list[Generated]:
        """Make one image per prompt, in order.

        With one `params` for all, image i has its seed + i; a sequence gives each image its own.
        The failure of an image does not stop the others: `on_image` gets each image, or its failure, as soon
        as it is known, and the first failure is raised when all are through. Both are called in this thread.
        Raises `UsageError`, `CodeUnavailable`, `ManifestError`, `IntegrityError`, `CacheFailure`,
        `EngineFailure`, `Closed`, `Unavailable`, `Forked`.
        """

        def tell(index: int, step: Step) -> None:
            if on_step:
                on_step(index, step.done, step.total)

        texts = diffusers_api.listed(prompts)
        results = _CallResults(self.core, tell, on_image)
        return results.make(texts, _each(params, len(texts)), RequestOptions(progress=on_step is not None))

    def __call__(
        self,
        prompt: str | Sequence[str],
        *,
        negative_prompt: str | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        num_images_per_prompt: int = 1,
        seed: int | Sequence[int] | None = None,
        generator: diffusers_api.Generator | Sequence[diffusers_api.Generator] | None = None,
        latents: Any = None,
        output_type: str = "pil",
        callback_on_step_end: diffusers_api.OnStepEnd | None = None,
    ) -> diffusers_api.Output:
        """Draw images as diffusers' pipelines give them: `pipeline("a red circle", seed=7).images[0]`.

        As there, a `guidance_scale` of 1 or less is none. Differs where this runtime does: defaults are the
        bundle's; the seed of a torch `generator` is used, not its noise;
        `callback_on_step_end(pipeline, step, timestep, {"latents": [1, C, H, W]})` is called for every image
        on its own, cannot change latents, and stops everything by raising.
        Raises as `generate`.
        """
        kind = diffusers_api.check_output_type(output_type)
        texts = diffusers_api.repeated(prompt, num_images_per_prompt)
        starts = diffusers_api.starts(latents, diffusers_api.seeds_of(seed, generator), len(texts))
        params = GenerationParams(
            negative_prompt=negative_prompt,
            steps=num_inference_steps,
            guidance=guidance_scale,
            size=self._size(width, height),
        )

        def tell(_: int, step: Step) -> None:
            if callback_on_step_end:
                diffusers_api.tell(callback_on_step_end, self, step)

        told = callback_on_step_end is not None
        each = [replace(params, seed=start.seed, latents=start.latents) for start in starts]
        made = _CallResults(self.core, tell).make(texts, each, RequestOptions(progress=told, latents=told))
        return diffusers_api.to_output(made, kind)

    def _size(self, width: int | None, height: int | None) -> tuple[int, int] | None:
        if width is None and height is None:
            return None
        latent, scale = self.bundle.manifest.latent, self.bundle.manifest.decoder.scale
        return (
            latent.width * scale if width is None else width,
            latent.height * scale if height is None else height,
        )


class _CallResults:
    """The images of one call: what became of each, as this thread hears of it."""

    def __init__(
        self, core: RuntimeCore, on_step: Callable[[int, Step], object], on_image: OnImage | None = None
    ) -> None:
        self._core, self._on_step, self._on_image = core, on_step, on_image
        self._told: queue.SimpleQueue[tuple[int, Event | RuntimeFailure]] = queue.SimpleQueue()
        self._images: dict[int, Generated] = {}
        self._failures: dict[int, RuntimeFailure] = {}

    def make(
        self, prompts: Sequence[str], params: Sequence[GenerationParams], options: RequestOptions
    ) -> list[Generated]:
        """Make all images, in order. Raises the first failure, if there is one."""
        requests = [  # all are checked before the first is begun
            self._core.request(prompt, each, options, partial(self._hear, index))
            for index, (prompt, each) in enumerate(zip(prompts, params, strict=True))
        ]
        tickets: list[Ticket[Request]] = []
        try:
            for request in requests:
                tickets.append(self._core.submit(request))
            while len(self._images) + len(self._failures) < len(prompts):
                self._attend(*self._told.get())
        finally:  # an interrupt, or a callback that raised: nobody waits for the others
            for ticket in tickets:
                self._core.dispatcher.cancel(ticket)
        if self._failures:
            raise self._failures[min(self._failures)]
        return [image for _, image in sorted(self._images.items())]

    def _hear(self, index: int, event: Event | RuntimeFailure) -> None:
        self._told.put((index, event))

    def _attend(self, index: int, event: Event | RuntimeFailure) -> None:
        if isinstance(event, Step):
            self._on_step(index, event)
            return
        outcome: Any = event.image if isinstance(event, Finished) else event
        if isinstance(outcome, Generated):
            self._images[index] = outcome
        elif isinstance(outcome, RuntimeFailure):
            self._failures[index] = outcome
        else:
            return
        if self._on_image:
            self._on_image(index, outcome)


def _limits(models: Models, running: int | None, queued: int | None) -> QueueLimits:
    found = limits(models, running, queued)
    return QueueLimits(found.running, None) if queued is None else found


def _each(
    params: GenerationParams | Sequence[GenerationParams] | None, count: int
) -> Sequence[GenerationParams]:
    if isinstance(params, Sequence):
        if len(params) != count:
            raise UsageError(f"{len(params)} params for {count} prompts: give one, or one for each prompt")
        return params
    common = params or GenerationParams()
    return [common.numbered(index) for index in range(count)]
