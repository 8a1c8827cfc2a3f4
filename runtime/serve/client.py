"""The client at the other end of a request: the body it sends, and its going away."""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from runtime.serve.limits import ClientLimits
from runtime.serve.problem import Problem

T = TypeVar("T")

JSON = "application/json"


async def read_json(request: Request, limits: ClientLimits) -> bytes:
    """Read the request's body.

    Raises `Problem` for another type than JSON, compressed bytes, too many bytes, or too slow a client.
    A page of another site can make a browser send text without asking this server, but not JSON. A limit on
    bytes says nothing of what they unpack to, and prompts are short: nothing is unpacked.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise Problem(415, f"the content-type is {kind[:64]!a}; send {JSON}", code="unsupported_media_type")
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        message = f"the content-encoding is {coding[:64]!a}; send the body as it is"
        raise Problem(415, message, code="unsupported_encoding")
    body = bytearray()
    size = 0
    try:
        async with asyncio.timeout(limits.body), aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size <= limits.body_bytes:
                    body += chunk
                elif size > limits.discarded_bytes:
                    break
    except TimeoutError:
        message = f"the body did not arrive in {limits.body:g} s; send it faster"
        raise Problem(408, message, code="body_timeout") from None
    if size > limits.body_bytes:
        raise Problem(413, f"the body is larger than {limits.body_bytes} bytes", code="body_too_large")
    return bytes(body)


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`, which is cancelled when the client goes. Raises
    `ClientDisconnect` then.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_departure(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
