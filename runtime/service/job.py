"""An order under way: what was found out about it, the request that makes it, and the engines it needs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from runtime.diffusion.denoising import Request
from runtime.diffusion.preview import moments, picture
from runtime.engines.shape_bucket import ShapeBucket
from runtime.errors import RuntimeFailure
from runtime.models.models import DECODER, Models
from runtime.service.events import Event, Finished, Queued, Started, Step
from runtime.service.generated import Generated, RoutingDecision
from runtime.service.order import Order

Listener = Callable[[Event | RuntimeFailure], None]


class EngineKey(NamedTuple):
    """An engine of one opened bundle. Two versions of a bundle share none."""

    models: Models
    bucket: ShapeBucket

    @property
    def decodes(self) -> bool:
        """Whether this is the decoder, and no expert."""
        return self.bucket.model == DECODER


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a request is to be served: higher `priority` first, all of it within `seconds`.

    It is told of each of its `steps` where wanted; then `previews` of them show the image, and all have the
    `latents` where wanted. Telling takes the cores from calls: nobody is told who does not ask.
    """

    priority: int = 0
    seconds: float | None = None
    steps: bool = False
    previews: int = 0
    latents: bool = False


@dataclass(eq=False, slots=True)
class Job:
    """The way of an order: prepared, one call after another, decoded. `seconds` is the work on it so far.

    `failure` is why it ended without an image. `listener` hears of all that becomes of it, the end once.
    `previews`: how many of the steps show what the image will be, if the bundle says how.
    """

    order: Order
    models: Models
    listener: Listener
    wish: Wish = field(default_factory=Wish)
    choice: RoutingDecision | None = None
    request: Request | None = None
    dropped: tuple[int, int] = (0, 0)  # tokens of the prompt, and of the negative one
    places: tuple[EngineKey, ...] = ()  # of each row of the schedule, then of the decoder
    image: Generated | None = None
    failure: RuntimeFailure | None = None
    seconds: float = field(default=0.0)
    _shown: frozenset[int] = field(default=frozenset())  # after how many rows
    _told: bool = field(default=False)

    def begin(self, choice: RoutingDecision, request: Request, dropped: tuple[int, int]) -> None:
        """Make it ready for its first call. Raises `UsageError` for a size that the expert's engine lacks."""
        self.choice, self.request, self.dropped = choice, request, dropped
        _, height, width = self.order.shape
        of_expert = {
            name: EngineKey(self.models, self.models.bucket(name, request.rows, height, width))
            for name in dict.fromkeys(request.plan)
        }
        decoder = EngineKey(self.models, self.models.decoder_bucket(height, width))
        self._shown = moments(self.wish.previews, len(request.plan))
        self.places = (*(of_expert[name] for name in request.plan), decoder)

    @property
    def position(self) -> int:
        """Calls made: rows of the schedule, then the decoder."""
        assert self.request is not None, "it was begun"
        return self.request.trajectory.position

    @property
    def need(self) -> EngineKey:
        """The engine of the next call."""
        return self.places[self.position]

    @property
    def upcoming(self) -> EngineKey | None:
        """The engine after that, where it is another."""
        need = self.need
        return next((place for place in self.places[self.position :] if place is not need), None)

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
        if not self.wish.steps:
            return None
        assert self.request is not None, "it was begun"
        trajectory, decoder = self.request.trajectory, self.models.bundle.manifest.decoder
        rows, done = trajectory.course.rows, trajectory.position
        return Step(
            done,
            len(rows),
            rows[done - 1].timestep,
            preview=picture(trajectory, decoder) if done in self._shown else None,
            latents=trajectory.latents.copy() if self.wish.latents else None,
        )

    def finished(self) -> Finished:
        """As `Work.finished`."""
        assert self.image is not None
        return Finished(self.image)
