"""The runtime for asynchronous programs: a bundle opened once, prompts in, events and images out."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from runtime.bundle.reader import Bundle
from runtime.errors import Cancelled, RuntimeFailure, Unavailable, UsageError
from runtime.machine.threads import in_thread
from runtime.models.models import Models
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams
from runtime.service.events import Event, Finished
from runtime.service.generated import Generated
from runtime.service.runtime_core import RuntimeCore, limits
from runtime.service.status import Status


class Runtime:
    """An opened bundle that serves any number of tasks. Leaving it as a context manager closes it.

    It is of one process: a child that is forked later gets `Forked`, and opens the bundle itself.
    """

    def __init__(self, core: RuntimeCore) -> None:
        if isinstance(core, str | Path):
            raise UsageError(f"Runtime({str(core)!r}): open a bundle with Runtime.open({str(core)!r})")
        self._core = core

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
        warm: bool = False,
    ) -> Self:
        """Open the bundle at a path.

        `engine`, `precision`, `cache`, `cache_group_writable`, `batch` and `threads` are those of
        `Models.open`. `memory` are the bytes that the open experts and decoders may hold
        together (default: half of the machine's).
        `max_running` requests share the engines (default: a full call of every expert), and `max_queued` wait
        (default: four times as many); what comes beyond is refused with `QueueFull`.
        `warm` makes an image of a step or so on every expert first, which opens their engines and shows that
        they work.
        Takes seconds, and raises `UsageError`, `NotABundle`, `ManifestError`, `IntegrityError`,
        `EnvironmentMismatch`, `CacheFailure`, `EngineFailure`, `Unavailable`.
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
        core = RuntimeCore(bundle, opener, lambda models: limits(models, max_running, max_queued), memory)
        try:
            if warm:
                core.warm()
        except BaseException:
            core.dispatcher.close()
            raise
        return cls(core)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def bundle(self) -> Bundle:
        """The bundle that new requests are served from."""
        return self._core.models.bundle

    @property
    def engine(self) -> str:
        """The engine that runs its UNets."""
        return self._core.models.engine

    async def generate(
        self, prompt: str, params: GenerationParams | None = None, options: RequestOptions | None = None
    ) -> Generated:
        """Make the image of a prompt. Cancelling the task cancels the request.

        Raises `UsageError` (a `FieldError` where one field is at fault), `QueueFull`, `Closed`,
        `Unavailable`, `Forked`, `CodeUnavailable` at once; later `DeadlineExceeded`, `Closed`, `Unavailable`,
        `CodeUnavailable`, `Quarantined`, `IntegrityError`, `CacheFailure`, `EngineFailure`.
        """
        async with Stream(self._core, prompt, params, options) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event.image
        raise AssertionError("a request ends with its image or its failure")

    def stream(
        self, prompt: str, params: GenerationParams | None = None, options: RequestOptions | None = None
    ) -> "Stream":
        """Let a request in now, or refuse it, and return its events, one for each step among them.

        The `previews` of `options` are evenly spaced over all steps but the last, one pixel per latent; there
        is none where the bundle does not say how. Raises as `generate` does.
        """
        return Stream(self._core, prompt, params, replace(options or RequestOptions(), progress=True))

    @property
    def trouble(self) -> str | None:
        """Why nobody can be served now, or None: a thread of it died, or has not come back so far."""
        return self._core.trouble

    def status(self) -> Status:
        """Return how it is doing now."""
        return self._core.status()

    async def reload(self, bundle: str | Path | None = None) -> None:
        """Serve new requests from the bundle that is now at the path. Those under way end where they began.

        Raises what `open` raises, and serves on from the old one then.
        """
        await in_thread(self._core.reload, bundle)

    async def drain(self, seconds: float | None = None) -> bool:
        """Let nothing more in, and wait for what is under way. False where `seconds` cut some of it off."""
        return await in_thread(self._core.dispatcher.drain, seconds)

    async def close(self) -> None:
        """End what is under way with `Closed`, and let go of the engines."""
        try:
            await in_thread(self._core.dispatcher.close)
        except Unavailable:  # closing needs no more than patience
            self._core.dispatcher.close()


class _Inbox:
    """The events of a stream, from any thread to its loop. Does not hold the stream, which may be dropped."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.events: asyncio.Queue[Event | RuntimeFailure] = asyncio.Queue()
        self.forsake: Callable[[], object] | None = None

    def put(self, event: Event | RuntimeFailure) -> None:
        forsake = self.forsake
        if isinstance(event, Finished | RuntimeFailure):
            self.forsake = None  # it leads to the request, and from there back to here
        try:
            self._loop.call_soon_threadsafe(self.events.put_nowait, event)
        except RuntimeError:  # the loop was closed without closing the stream: nobody listens any more
            if forsake and not isinstance(event, Cancelled):
                forsake()


class Stream(AsyncIterator[Event]):
    """The events of one request, the last of them `Finished`. Leaving it early, or dropping it, cancels the
    request.
    """

    def __init__(
        self,
        core: RuntimeCore,
        prompt: str,
        params: GenerationParams | None,
        options: RequestOptions | None,
    ) -> None:
        self._inbox, self._core, self._ended = _Inbox(), core, False
        put = self._inbox.put
        request = core.request(prompt, params or GenerationParams(), options or RequestOptions(), put)
        self._ticket = core.submit(request)
        self._inbox.forsake = partial(core.dispatcher.cancel, self._ticket)
        weakref.finalize(self, core.dispatcher.forsake, self._ticket).atexit = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> Event:
        if self._ended:
            raise StopAsyncIteration
        event = await self._inbox.events.get()
        self._ended = isinstance(event, Finished | RuntimeFailure)
        if isinstance(event, RuntimeFailure):
            raise event
        return event

    async def aclose(self) -> None:
        """Cancel the request, if it has not ended."""
        if not self._ended:
            self._ended = True
            self._core.dispatcher.cancel(self._ticket)
