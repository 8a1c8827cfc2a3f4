"""A request told while it is made, as server-sent events. What fails after the first is an event as well."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runtime.bundle.schema import Manifest
from runtime.errors import RuntimeFailure
from runtime.serve import reply
from runtime.serve.backend import BackendStream
from runtime.serve.client import while_connected
from runtime.serve.log import LOGGER
from runtime.serve.metrics import RequestTimer
from runtime.serve.problem import Problem
from runtime.serve.request_body import ImagesRequest
from runtime.service.events import Event, Finished, Queued, Started, Step

ALIVE = b": alive\n\n"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


class EventStream(Response):
    """The reply to a request that was admitted. `beat`: seconds of silence before a sign of life."""

    media_type = "text/event-stream"

    def __init__(
        self,
        stream: BackendStream,
        asked: ImagesRequest,
        manifest: Manifest,
        timer: RequestTimer,
        beat: float,
    ) -> None:
        self.status_code, self.background = 200, None
        self.init_headers(_HEADERS)
        self._stream, self._asked, self._manifest = stream, asked, manifest
        self._timer, self._beat = timer, beat
        self._previews = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = scope["state"]["facts"]
        # Entered before anything can fail or take time: a stream that is never left would never be cancelled.
        async with self._stream as stream:
            try:
                await while_connected(receive, self._tell(stream, send, scope["state"]["id"], facts))
            except ClientDisconnect:
                facts["disconnected"] = True
            finally:
                facts.update(self._timer.facts)

    async def _tell(self, stream: BackendStream, send: Send, request_id: str, facts: dict[str, Any]) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with aclosing(_beating(stream, self._beat)) as events:
                async for event in events:
                    await send(_chunk(ALIVE if event is None else await self._told(event)))
        except RuntimeFailure as failure:
            await send(_chunk(_failed(Problem.of(failure, self._asked.spelt), facts)))
        except Exception:
            LOGGER.exception("a mistake of the server's", extra={"facts": {"id": request_id}})
            await send(_chunk(_failed(Problem.unforeseen(request_id), facts)))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _told(self, event: Event) -> bytes:
        self._timer.note(event)
        match event:
            case Queued():
                return _event("image_generation.queued", {"ahead": event.ahead})
            case Started():
                return _event("image_generation.started", reply.started(event.choice, self._manifest))
            case Finished():
                return await asyncio.to_thread(self._completed, event)
            case Step(preview=None):
                return _event("image_generation.step", _walked(event))
            case Step():
                return await asyncio.to_thread(self._partial, event)

    def _completed(self, event: Finished) -> bytes:
        made = reply.completed(event.image, self._asked.output_format, self._manifest)
        return _event("image_generation.completed", made)

    def _partial(self, event: Step) -> bytes:
        assert event.preview is not None, "a step without a preview is no partial image"
        size = reply.size_of(self._asked.params.size, self._manifest)
        seen = reply.partial(event.preview, self._previews, size)
        self._previews += 1
        step = _event("image_generation.step", _walked(event))
        return step + _event("image_generation.partial_image", seen | _walked(event))


def _walked(step: Step) -> dict[str, int]:
    return {"done": step.done, "total": step.total}


def _event(kind: str, values: dict[str, Any]) -> bytes:
    # JSON in one line of ASCII: nothing in it can end the event.
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), reply.as_json({"type": kind, **values}))


def _failed(problem: Problem, facts: dict[str, Any]) -> bytes:
    facts["error"] = problem.code
    return _event("error", problem.document)


def _chunk(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


async def _beating(stream: BackendStream, beat: float) -> AsyncGenerator[Event | None, None]:
    """Yield the stream's events, and None whenever there was none for `beat` seconds."""
    events = aiter(stream)
    coming = asyncio.ensure_future(_next(events))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=beat)
            if not done:
                yield None
                continue
            event = coming.result()
            if event is None:
                return
            yield event
            coming = asyncio.ensure_future(_next(events))
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def _next(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)
