"""A request for one image, from the moment it is checked until its image is there."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import DENSE
from runtime.diffusion.preview import moments, picture
from runtime.diffusion.schedule import SolverSteps
from runtime.engines.shape_bucket import ShapeBucket
from runtime.errors import CodeUnavailable, RuntimeFailure
from runtime.models.models import DECODER, Models
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams, ResolvedParams
from runtime.service.denoising import Denoising
from runtime.service.events import Event, Finished, Queued, Started, Step
from runtime.service.generated import Generated, RoutingDecision
from runtime.text.tokenizer import check_prompt

Listener = Callable[[Event | RuntimeFailure], None]


class EngineKey(NamedTuple):
    """An engine of one opened bundle. Two versions of a bundle share none."""

    models: Models
    bucket: ShapeBucket

    @property
    def decodes(self) -> bool:
        """Whether this is the decoder, and no expert."""
        return self.bucket.model == DECODER


@dataclass(eq=False, slots=True)
class Request:
    """One image: asked for, prepared, denoised in one call after another, decoded.

    `solver_steps` are the rows of its schedule. `listener` hears of all that becomes of it, the end once.
    Preparation sets `choice`, `denoising` and `dropped`, the tokens of the prompt and of the negative one
    that did not fit. `failure` is why it ended without an image. `seconds` is the work on it so far, beside
    its UNet calls.
    """

    models: Models
    prompt: str
    params: ResolvedParams
    options: RequestOptions
    listener: Listener
    solver_steps: SolverSteps
    choice: RoutingDecision | None = None
    denoising: Denoising | None = None
    dropped: tuple[int, int] = (0, 0)
    image: Generated | None = None
    failure: RuntimeFailure | None = None
    seconds: float = field(default=0.0)
    _engines: tuple[EngineKey, ...] = ()  # the expert's, then the decoder
    _shown: frozenset[int] = field(default=frozenset())  # after how many steps
    _told: bool = field(default=False)

    @classmethod
    def checked(
        cls,
        models: Models,
        prompt: str,
        params: GenerationParams,
        options: RequestOptions,
        listener: Listener,
    ) -> "Request":
        """Check what is asked for against a bundle, once and before anything is spent on it.

        Raises `UsageError`, `CodeUnavailable`, `ManifestError`, `IntegrityError`.
        """
        options.check()
        check_prompt(prompt)
        manifest = models.bundle.manifest
        resolved = params.resolve(manifest)
        if resolved.expert is not None and resolved.expert not in manifest.experts:
            raise unavailable(models.bundle, resolved.expert)
        steps = models.solver_steps(resolved)
        return cls(models, prompt, resolved, options, listener, steps)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The latents' shape, [C, H, W]."""
        return self.params.shape(self.models.bundle.manifest)

    def begin(self, choice: RoutingDecision, denoising: Denoising, dropped: tuple[int, int]) -> None:
        """Make it ready for its first call. Raises `UsageError` for a size that the expert's engine lacks."""
        _, height, width = self.shape
        bucket = self.models.bucket(denoising.expert, denoising.rows, height, width)
        decoder = self.models.decoder_bucket(height, width)
        self._engines = EngineKey(self.models, bucket), EngineKey(self.models, decoder)
        self._shown = moments(self.options.previews, len(self.solver_steps.rows))
        self.choice, self.denoising, self.dropped = choice, denoising, dropped

    @property
    def need(self) -> EngineKey:
        """The engine of the next call."""
        assert self.denoising is not None, "it was begun"
        return self._engines[self.denoising.ended]

    @property
    def upcoming(self) -> EngineKey | None:
        """The engine after that, where there is another."""
        assert self.denoising is not None, "it was begun"
        return None if self.denoising.ended else self._engines[1]

    @property
    def ended(self) -> bool:
        """Whether the image is there."""
        return self.image is not None

    def tell(self, event: Event | RuntimeFailure) -> None:
        """Tell the listener, unless it knows of the end."""
        if not self._told:
            self._told = isinstance(event, Finished | RuntimeFailure)
            self.listener(event)

    def queued(self, ahead: int) -> Queued:
        """As `Work.queued`."""
        return Queued(ahead)

    def started(self) -> Started:
        """As `Work.started`."""
        assert self.choice is not None
        return Started(self.choice)

    def progress(self) -> Step | None:
        """As `Work.progress`."""
        if not self.options.progress:
            return None
        assert self.denoising is not None, "it was begun"
        trajectory, decoder = self.denoising.trajectory, self.models.bundle.manifest.decoder
        rows, done = self.solver_steps.rows, trajectory.position
        return Step(
            done,
            len(rows),
            rows[done - 1].timestep,
            preview=picture(trajectory, decoder) if done in self._shown else None,
            latents=trajectory.latents.copy() if self.options.latents else None,
        )

    def finished(self) -> Finished:
        """As `Work.finished`."""
        assert self.image is not None
        return Finished(self.image)


def unavailable(bundle: Bundle, name: str, more: str = "") -> CodeUnavailable:
    """Return the failure of a request for an expert that the bundle does not hold."""
    built = ", ".join(sorted(bundle.manifest.experts))
    codes = "all,dense" if name == DENSE else "all"
    return CodeUnavailable(
        f"the bundle has no expert for code {name!r}{more}; it holds {built}. "
        f"Build it with `python -m export.build --codes {codes}`, or ask for one that is there"
    )
