"""One connection: uvicorn's, which ends where the client is too slow, or does not speak HTTP.

uvicorn itself waits for a head, and for a reader, as long as they please.
"""

import asyncio
import contextlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from runtime.serve.limits import ClientLimits
from runtime.serve.probes import crowded, only_probes
from runtime.serve.problem import Problem
from runtime.serve.slots import Slots


class Timer:
    """A call that comes unless it is put off."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        """Call in `seconds`, unless that is settled already."""
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(seconds, self._fire)

    def stop(self) -> None:
        """Do not call."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        self._call()


class Connection(H11Protocol):
    """A connection under `limits`, with one of a server's `slots`."""

    def __init__(self, *args: Any, limits: ClientLimits, slots: Slots, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits, self._slots = limits, slots
        self._has_slot = False
        self._head = Timer(self._head_is_late)
        self._reader = Timer(self._look_at_reader)
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Whatever the client has not taken counts, to the last byte: also what a complete reply left behind.
        transport.set_write_buffer_limits(0)
        self._has_slot = self._slots.take(self, self.client[0] if self.client else "")
        if not self._has_slot:
            self.app = only_probes(self.app)
        self._head.start(self._limits.head if self._has_slot else self._limits.probe)

    def connection_lost(self, exc: Exception | None) -> None:
        self._slots.free(self)
        self._head.stop()
        self._reader.stop()
        super().connection_lost(exc)

    def leave(self) -> None:
        """End it, as `Holder.leave`."""
        if self._has_slot:
            self.timeout_keep_alive_handler()
        else:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._slots.work(self)
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._head.start(self._limits.head)
        else:
            self._head.stop()

    def on_response_complete(self) -> None:
        # What comes of a body that nobody waits for is not worth a connection.
        is_unread = self.conn.their_state is h11.SEND_BODY
        super().on_response_complete()
        if is_unread:
            self.transport.close()
        elif self.conn.their_state is h11.IDLE:
            self._slots.rest(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self._reader.start(self._limits.write)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reader.stop()

    def _should_upgrade(self) -> bool:
        # uvicorn's hook, which warns. A client may offer another protocol, such as h2c: HTTP/1.1 goes on.
        return False

    def send_400_response(self, msg: str) -> None:
        """uvicorn's hook for what is no HTTP."""
        self._refuse(Problem(400, "this is no HTTP/1.1 request", code="no_http"))

    def _head_is_late(self) -> None:
        message = f"the request's head did not arrive in {self._limits.head:g} s"
        self._refuse(Problem(408, message, code="head_timeout") if self._has_slot else crowded())

    def _look_at_reader(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if self._unsent - unsent < self._limits.write_bytes:
            self.transport.abort()
        else:
            self._unsent = unsent
            self._reader.start(self._limits.write)

    def _refuse(self, problem: Problem) -> None:
        """Say what is wrong, where no other reply has begun, and end the connection."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            headers = [("content-type", "application/json"), ("content-length", str(len(problem.body)))]
            if problem.retry_after is not None:
                headers.append(("retry-after", str(problem.retry_after)))
            head = h11.Response(
                status_code=problem.status,
                reason=HTTPStatus(problem.status).phrase,
                headers=[*headers, ("connection", "close")],
            )
            with contextlib.suppress(h11.LocalProtocolError):  # where HEAD was asked for, a head is all
                for event in (head, h11.Data(data=problem.body), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # no second reply: the application learns that it is over
            self.cycle.message_event.set()
        self.transport.close()
