"""A connection on a transport of the test's, in states that are rare on sockets."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from runtime.serve.connection import Connection
from runtime.serve.lifecycle import server
from runtime.serve.limits import LIMITS
from runtime.serve.slots import Slots

LIMIT = replace(LIMITS, write_bytes=100)
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


class Transport(asyncio.Transport):
    """Takes everything; `unsent` is what it says of its buffer."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written, self.unsent, self.ended = b"", 0, ""
        self.high: int | None = None

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def is_closing(self) -> bool:
        return bool(self.ended)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def play(app: ASGIApp, scene: Callable[[Connection, Transport], Awaitable[None]]) -> None:
    """Run a scene with a connection to `app`."""

    async def played() -> None:
        front = server(app, LIMIT)
        front.config.load()
        transport = Transport()
        connection = Connection(
            config=front.config, server_state=ServerState(), app_state={}, limits=LIMIT, slots=Slots(LIMIT)
        )
        connection.connection_made(transport)
        await scene(connection, transport)
        connection.connection_lost(None)

    asyncio.run(played())


def replies(transport: Transport) -> int:
    return len(re.findall(rb"HTTP/1.1 [0-9]{3} ", transport.written))


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("nothing is asked")


async def late(scope: Scope, receive: Receive, send: Send) -> None:
    """Reply once the request is over, however it ended."""
    while (await receive())["type"] != "http.disconnect":
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def early(scope: Scope, receive: Receive, send: Send) -> None:
    """Begin a reply, and wait for what never comes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while (await receive())["type"] != "http.disconnect":
        pass


def test_every_byte_that_is_not_taken_counts() -> None:
    async def scene(connection: Connection, transport: Transport) -> None:
        assert transport.high == 0

    play(nothing, scene)


def test_a_reader_may_be_slow_but_has_to_read() -> None:
    async def scene(connection: Connection, transport: Transport) -> None:
        transport.unsent = 1000
        connection.pause_writing()
        transport.unsent = 900
        connection._look_at_reader()
        assert transport.ended == ""
        transport.unsent = 801
        connection._look_at_reader()
        assert transport.ended == "aborted"

    play(nothing, scene)


def test_who_breaks_off_gets_one_reply() -> None:
    async def scene(connection: Connection, transport: Transport) -> None:
        connection.data_received(CHUNKED)
        await asyncio.sleep(0)
        connection.data_received(b"zz\r\n")
        assert connection.cycle.disconnected
        await asyncio.gather(*connection.tasks)
        assert replies(transport) == 1
        assert transport.written.startswith(b"HTTP/1.1 400 ")
        assert transport.ended == "closed"

    play(late, scene)


def test_who_asks_for_a_head_gets_no_more() -> None:
    async def scene(connection: Connection, transport: Transport) -> None:
        connection.data_received(CHUNKED.replace(b"POST", b"HEAD"))
        await asyncio.sleep(0)
        connection.data_received(b"zz\r\n")
        await asyncio.gather(*connection.tasks)
        assert transport.written.startswith(b"HTTP/1.1 400 ")
        assert transport.written.endswith(b"\r\n\r\n")
        assert transport.ended == "closed"

    play(late, scene)


def test_nor_is_there_another_after_a_reply_has_begun() -> None:
    async def scene(connection: Connection, transport: Transport) -> None:
        connection.data_received(CHUNKED)
        await asyncio.sleep(0)
        assert transport.written.startswith(b"HTTP/1.1 200 ")
        connection.data_received(b"zz\r\n")
        await asyncio.gather(*connection.tasks)
        assert replies(transport) == 1
        assert transport.ended == "closed"

    play(early, scene)
