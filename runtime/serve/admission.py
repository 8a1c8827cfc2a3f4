"""`POST /v1/images/generations`: from a body to streams that the runtime admitted, and to the reply.

All images of a request are admitted, or none is.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.requests import Request
from starlette.responses import Response

from runtime.errors import FieldError, RuntimeFailure
from runtime.serve import reply
from runtime.serve.backend import Backend, BackendStream
from runtime.serve.backend_state import Upstream
from runtime.serve.client import JSON, read_json, while_connected
from runtime.serve.event_stream import EventStream
from runtime.serve.limits import ClientPolicy
from runtime.serve.metrics import Metrics, RequestTimer
from runtime.serve.problem import Problem
from runtime.serve.request_body import BodyReader, ImagesRequest
from runtime.service.events import Finished
from runtime.service.generated import Generated


class Admission:
    """Lets requests into the runtime."""

    def __init__(self, upstream: Upstream, metrics: Metrics, policy: ClientPolicy) -> None:
        self._upstream, self._metrics = upstream, metrics
        self._limits, self._deadline = policy.limits, policy.deadline
        self._body = BodyReader(policy.models, policy.seed)

    async def create(self, request: Request) -> Response:
        """Reply with images, or the events of one. Raises `Problem`, `RuntimeFailure`, `ClientDisconnect`."""
        asked = self._body.parse(await read_json(request, self._limits))
        runtime = self._upstream.serving
        try:
            if asked.stream:
                return self._streamed(runtime, asked)
            return await while_connected(request.receive, self._at_once(runtime, asked, request))
        except RuntimeFailure as failure:
            raise Problem.of(failure, asked.spelt) from failure

    def _streamed(self, runtime: Backend, asked: ImagesRequest) -> Response:
        manifest = runtime.bundle.manifest
        steps, previews = asked.params.steps or manifest.defaults.steps, asked.options.previews
        if previews > steps:
            raise FieldError(
                "partial_images", f"partial_images: {previews}: there are {steps} steps; ask for fewer"
            )
        stream = runtime.stream(asked.prompt, asked.params, asked.within(self._deadline))
        return EventStream(stream, asked, manifest, self._metrics.timer(), self._limits.beat)

    async def _at_once(self, runtime: Backend, asked: ImagesRequest, request: Request) -> Response:
        manifest = runtime.bundle.manifest  # that of this moment: a reload may come before the images
        timers = [self._metrics.timer() for _ in range(asked.n)]
        async with self._admitted(runtime, asked) as streams:
            try:
                images = await _all_finished(streams, timers)
            finally:
                request.state.facts.update(timers[0].facts)
        body = await asyncio.to_thread(reply.images, images, asked.output_format, manifest)
        return Response(body, headers={"x-aptp-code": reply.code_of(images[0].choice)}, media_type=JSON)

    @asynccontextmanager
    async def _admitted(
        self, runtime: Backend, asked: ImagesRequest
    ) -> AsyncIterator[Sequence[BackendStream]]:
        async with AsyncExitStack() as stack:
            streams: list[BackendStream] = []
            for index in range(asked.n):
                params = asked.params.numbered(index)
                stream = runtime.stream(asked.prompt, params, asked.within(self._deadline))
                streams.append(await stack.enter_async_context(stream))
            yield streams


async def _all_finished(streams: Sequence[BackendStream], timers: Sequence[RequestTimer]) -> list[Generated]:
    """Return the images in order. Raises the first failure, after the other streams were let go."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_finished(stream, timer))
                for stream, timer in zip(streams, timers, strict=True)
            ]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def _finished(stream: BackendStream, timer: RequestTimer) -> Generated:
    async for event in stream:
        timer.note(event)
        if isinstance(event, Finished):
            return event.image
    raise AssertionError("a stream ends with its image or a failure")
