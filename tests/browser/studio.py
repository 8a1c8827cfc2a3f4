"""A stand-in for the runtime behind the page: it draws, and the test says how far and what goes wrong."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

from runtime.errors import Closed, CodeUnavailable, EngineFailure, FieldError, QueueFull
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams
from runtime.service.generated import RoutingDecision
from runtime.service.status import ExpertStatus, Status
from tests.browser.bundle import MACS, Opened, manifest
from tests.browser.drawing import AskedFor, Drawing, Trouble

EVERYTHING = 10**9  # as far as anybody goes
ROUTED = "2"  # where the router sends every prompt
BATCH = 8
DIGEST = "0123456789abcdef" * 4


class Studio:
    """Draws for all requests; `hold` and `release` say how far they may come.

    `asked_status` counts the questions for its state, `cancellations` the requests whose client went away.
    """

    engine = "fake"

    def __init__(self, opened: bool = True) -> None:
        self.bundle = Opened(manifest(), DIGEST)
        self.draining = False
        self.asked_status = self.cancellations = 0
        self._opened = threading.Event()
        if opened:
            self.open()
        self._choice = RoutingDecision(ROUTED, int(ROUTED), 0.0123, False)
        self._refusals: deque[Exception] = deque()
        self._troubles: deque[Trouble] = deque()
        self._level = EVERYTHING
        self._running: set[int] = set()
        self._numbers = count()
        self._images = dict.fromkeys(MACS, 0)
        self._last: tuple[str, int] | None = None
        self._changed = threading.Condition()
        self._held: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def hold(self, step: int) -> None:
        """Nobody comes further than `step`; at -1 all stay in the queue, at 0 they are routed and no more."""
        with self._changed:
            self._level = step
            for loop, moved in self._held:
                loop.call_soon_threadsafe(moved.set)

    def release(self) -> None:
        """Everybody comes to the end."""
        self.hold(EVERYTHING)

    def open(self) -> None:
        """Be ready; until then the server says that it is not."""
        self._opened.set()

    def opener(self) -> "Studio":
        """Open the runtime, as the server does."""
        self._opened.wait()
        return self

    def renew(self) -> None:
        """Serve another bundle."""
        self.bundle = replace(self.bundle, digest=DIGEST[::-1])

    def choose(self, **choice: Any) -> None:
        """Set what is told of the router's choice."""
        self._choice = replace(self._choice, **choice)

    def refuse(self, message: str, *, seconds: int) -> None:
        """The queue is full for the next request."""
        self._refusals.append(QueueFull(message, seconds))

    def lack(self, message: str) -> None:
        """There is no expert for the next request."""
        self._refusals.append(CodeUnavailable(message))

    def object_to(self, field: str, message: str) -> None:
        """A field of the next request is wrong."""
        self._refusals.append(FieldError(field, message))

    def fail(self, message: str, *, at: int) -> None:
        """The next request fails after step `at`."""
        self._troubles.append(Trouble(EngineFailure(message), at))

    def drop(self, *, at: int) -> None:
        """The stream of the next request ends after step `at`, without a word."""
        self._troubles.append(Trouble(None, at))

    def wait_for(self, true: Callable[["Studio"], bool], seconds: float = 10) -> None:
        """Until something is so. Raises `TimeoutError`."""
        with self._changed:
            if not self._changed.wait_for(lambda: true(self), seconds):
                raise TimeoutError(f"not so after {seconds} seconds")

    def status(self) -> Status:
        """Return what the server asks for once a second."""
        with self._changed:
            self.asked_status += 1
            self._changed.notify_all()
            queued = len(self._running) if self._level < 0 else 0
            finished = sum(self._images.values())
            return Status(
                queued=queued,
                running=len(self._running) - queued,
                max_queued=64,
                max_running=8,
                draining=self.draining,
                admitted=finished + self.cancellations + len(self._running),
                finished=finished,
                failed=0,
                cancelled=self.cancellations,
                expired=0,
                rejected=0,
                experts={
                    name: ExpertStatus("resident", 0, images, 0, 0, 0.0)
                    for name, images in self._images.items()
                },
                memory_used=212_000_000,
                memory_budget=8_000_000_000,
                batch=BATCH,
                last_call=self._last,
            )

    def stream(self, prompt: str, params: GenerationParams, options: RequestOptions) -> "Drawing":
        """Draw what the server asks for. Raises what was said to go wrong."""
        if self.draining:
            raise Closed("the studio is closing")
        if self._refusals:
            raise self._refusals.popleft()
        resolved = params.resolve(self.bundle.manifest)
        choice = self._choice
        if (code := params.code) is not None:
            choice = RoutingDecision(str(code), None if code == "dense" else code, None, False)
        trouble = self._troubles.popleft() if self._troubles else None
        return Drawing(self, AskedFor(prompt, resolved, choice, options.previews), trouble)

    @property
    def ahead(self) -> int:
        """How many a request is told to be behind."""
        with self._changed:
            return 0 if self._level >= 0 else 3

    async def reach(self, step: int) -> None:
        """Until requests may come as far as `step`."""
        while True:
            held = asyncio.get_running_loop(), asyncio.Event()
            with self._changed:
                if self._level >= step:
                    return
                self._held.add(held)
            try:
                await held[1].wait()
            finally:
                with self._changed:
                    self._held.discard(held)

    def begin(self) -> int:
        """Count a request in, and give its number."""
        with self._changed:
            number = next(self._numbers)
            self._running.add(number)
            return number

    def call(self, expert: str) -> None:
        """Note a step."""
        with self._changed:
            self._last = expert, min(BATCH, len(self._running))

    def end(self, number: int, expert: str | None, cancelled: bool = False) -> None:
        """Count a request out: with `expert`'s image, cancelled, or failed."""
        with self._changed:
            self._running.discard(number)
            if expert is not None:
                self._images[expert] += 1
            self.cancellations += cancelled
            self._changed.notify_all()

    async def drain(self, seconds: float) -> bool:
        """Take no more."""
        self.draining = True
        return not self._running

    async def reload(self) -> None:
        """There is but one bundle."""

    async def __aenter__(self) -> "Studio":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.draining = True


def _resident(images: int) -> ExpertStatus:
    return ExpertStatus("resident", running=0, images=images, calls=0, rows=0, seconds=0.0)
