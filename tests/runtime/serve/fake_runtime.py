"""A runtime without engines: what it tells, and when, is the test's to say; what it was asked can be read."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from runtime.bundle.reader import Bundle
from runtime.errors import Closed, RuntimeFailure
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams, ResolvedParams
from runtime.service.events import Event, Finished, Queued, Started, Step
from runtime.service.generated import Generated, RoutingDecision

WAIT = 20  # seconds after which a test gives up


@dataclass(frozen=True, slots=True)
class AskedFor:
    """The images that the server asked for."""

    prompt: str
    params: ResolvedParams
    options: RequestOptions


Script = Callable[["FakeRuntime", "AskedFor"], AsyncIterator[Event]]


@dataclass(frozen=True, slots=True)
class ExpertStatus:
    state: str = "resident"
    running: int = 0
    images: int = 0
    calls: int = 0
    rows: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Status:
    queued: int = 0
    running: int = 0
    max_queued: int = 8
    max_running: int = 2
    draining: bool = False
    admitted: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    rejected: int = 0
    experts: dict[str, ExpertStatus] = field(default_factory=dict)
    memory_used: int = 10
    memory_budget: int = 20
    batch: int = 2
    last_call: tuple[str, int] | None = None


class Gate:
    """Shut until a test, in whatever thread, opens it; `reached` once somebody stands before it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def wait(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.reached.set()
        await self._opened.wait()

    def open(self) -> None:
        assert self.reached.wait(WAIT)
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._opened.set)


class FakeStream:
    def __init__(self, runtime: "FakeRuntime", events: AsyncIterator[Event]) -> None:
        self._runtime, self._events = runtime, events
        self._ended = False

    async def __aiter__(self) -> AsyncIterator[Event]:
        try:
            while event := await self._next():
                if isinstance(event, Finished):
                    self._end("finished")
                yield event
        except RuntimeFailure:
            self._end("failed")
            raise

    async def _next(self) -> Event | None:
        """The next event, unless the runtime is closed before it comes."""
        coming = asyncio.ensure_future(_or_none(self._events))
        closed = asyncio.ensure_future(self._runtime.closed.wait())
        try:
            await asyncio.wait({coming, closed}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                raise Closed("the runtime is closed; ask another")
            return coming.result()
        finally:
            coming.cancel()
            closed.cancel()
            await asyncio.gather(coming, closed, return_exceptions=True)

    async def __aenter__(self) -> "FakeStream":
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._ended:
            self._end("cancelled")
            self._runtime.cancelled.set()

    def _end(self, how: str) -> None:
        self._ended = True
        count = self._runtime.counts
        setattr(count, how, getattr(count, how) + 1)
        count.running -= 1
        if not count.running:
            self._runtime.idle.set()


class FakeRuntime:
    """Runs `script`; `refusal` is what admission raises. `cancelled` is set when a stream is left early."""

    engine = "fake"
    trouble: str | None = None

    def __init__(self, bundle: Bundle, script: Script | None = None) -> None:
        self.bundle, self.script = bundle, script or draw
        self.refusal: Exception | None = None
        self.asked: list[AskedFor] = []
        self.gate = Gate()
        self.cancelled = threading.Event()
        self.counts = Status(experts={name: ExpertStatus() for name in bundle.manifest.experts})
        self.path: str | Path = bundle.root
        self.idle, self.closed = asyncio.Event(), asyncio.Event()
        self.idle.set()

    def stream(self, prompt: str, params: GenerationParams, options: RequestOptions) -> FakeStream:
        if self.counts.draining:
            raise Closed("the runtime is closing; ask another")
        if self.refusal is not None:
            self.counts.rejected += 1
            raise self.refusal
        resolved = params.resolve(self.bundle.manifest)
        self.counts.admitted += 1
        self.counts.running += 1
        self.idle.clear()
        asked = AskedFor(prompt, resolved, options)
        self.asked.append(asked)
        return FakeStream(self, self.script(self, asked))

    def status(self) -> Status:
        return self.counts

    async def drain(self, seconds: float) -> bool:
        self.counts.draining = True
        try:
            async with asyncio.timeout(seconds):
                await self.idle.wait()
        except TimeoutError:
            return False
        return True

    async def reload(self) -> None:
        self.bundle = Bundle.open(self.path)

    async def __aenter__(self) -> "FakeRuntime":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.counts.draining = True
        self.closed.set()


async def _or_none(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)


async def draw(runtime: FakeRuntime, asked: AskedFor) -> AsyncIterator[Event]:
    """Everything goes well: three steps, the first `previews` of them with one."""
    yield Queued(ahead=0)
    yield Started(choice_of(asked))
    for done in range(1, 4):
        preview = np.full((2, 2, 3), 80 * done, np.uint8) if done <= asked.options.previews else None
        yield Step(done, 3, 10.0 - done, preview)
    yield Finished(image_of(runtime, asked))


async def draw_at_gate(runtime: FakeRuntime, asked: AskedFor) -> AsyncIterator[Event]:
    """Start, and go on when the gate is opened."""
    yield Queued(ahead=1)
    yield Started(choice_of(asked))
    await runtime.gate.wait()
    yield Finished(image_of(runtime, asked))


def failing(error: Exception) -> Script:
    """Start, and fail."""

    async def script(runtime: FakeRuntime, asked: AskedFor) -> AsyncIterator[Event]:
        yield Queued(ahead=0)
        yield Started(choice_of(asked))
        raise error

    return script


def choice_of(asked: AskedFor) -> RoutingDecision:
    code = 2 if asked.params.code is None else asked.params.code
    margin = 0.25 if asked.params.code is None else None
    return RoutingDecision(str(code), None if code == "dense" else code, margin, False)


def image_of(runtime: FakeRuntime, asked: AskedFor) -> Generated:
    """Noise of the seed, in the size that was asked for."""
    rng = np.random.default_rng(asked.params.seed)
    width, height = asked.params.size
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    return Generated(pixels, asked.prompt, choice_of(asked), asked.params, 0, 0, 12.5)
