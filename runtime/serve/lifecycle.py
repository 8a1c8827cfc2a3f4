"""The process: listen at once, open the bundle, serve; SIGHUP reads the bundle again, SIGTERM, SIGINT end it.

The end: nothing more is let in, what is under way is finished or cut off after the drain, exit code 0.
A second signal does not wait: what is left is told, within two seconds, and the exit code is 1.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Timer
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from runtime.errors import RuntimeFailure, Unavailable
from runtime.machine import processor, threads
from runtime.serve.backend_state import Upstream
from runtime.serve.connection import Connection
from runtime.serve.limits import ClientLimits
from runtime.serve.listener import BACKLOG, url
from runtime.serve.log import LOGGER
from runtime.serve.slots import Slots

FORCED = 2.0  # seconds
SPARE = 4  # threads for work that waits: opening, reloading, draining, closing


class Server(uvicorn.Server):
    """uvicorn's, which leaves signals to `Lifecycle`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def server(app: ASGIApp, limits: ClientLimits) -> Server:
    """Return a server for one process, under `limits`, that logs nothing by itself but warnings."""
    config = uvicorn.Config(
        app,
        loop="none",
        http=partial(Connection, limits=limits, slots=Slots(limits)),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=limits.idle,
        timeout_graceful_shutdown=limits.leaving,
    )
    return Server(config)


class Lifecycle:
    """An upstream and the server in front of it, from start to end. `drain` is in seconds."""

    def __init__(self, upstream: Upstream, server: Server, drain: float) -> None:
        self._upstream, self._server, self._drain = upstream, server, drain
        self._reload, self._stop, self._force = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(self, listener: socket.socket) -> int:
        """Serve until a signal ends it, and give the exit code."""
        loop = asyncio.get_running_loop()
        # For encoding, which computes: asyncio's own choice is by the whole machine, and not by its share.
        loop.set_default_executor(ThreadPoolExecutor(processor.threads() + SPARE, "aptp-serve"))
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        for ending in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(ending, self._end)
        LOGGER.info("listening", extra={"facts": {"url": url(listener)}})
        serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        work = asyncio.create_task(self._work())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({serving, work, stop}, return_when=asyncio.FIRST_COMPLETED)
        code = work.result() if work.done() else 0  # work ends by itself where there is nothing to serve
        await self._drained()
        await _ended(work, stop)
        await self._upstream.close()
        self._server.should_exit = True
        await serving
        LOGGER.info("ended")
        return 1 if self._force.is_set() else code

    def _end(self) -> None:
        if self._stop.is_set():
            LOGGER.warning("forced to end")
            self._force.set()
            self._server.force_exit = True
            # Where not even that helps, such as in an engine's call that does not come back.
            last = Timer(FORCED, os._exit, (1,))
            last.daemon = True
            try:
                threads.start(last)
            except Unavailable:
                os._exit(1)
        self._stop.set()

    async def _work(self) -> int:
        """Open the bundle, and read it again whenever asked to; an exit code where it cannot be opened."""
        try:
            await self._upstream.open()
        except RuntimeFailure as failure:
            LOGGER.error("the bundle cannot be served: %s", failure)
            return failure.exit_code
        except Exception:
            LOGGER.exception("a mistake of the server's")
            return 1
        while True:
            await self._reload.wait()
            self._reload.clear()  # asked for again while it is read, it is read once more
            await self._upstream.reload()

    async def _drained(self) -> None:
        draining = asyncio.create_task(self._upstream.drain(self._drain))
        force = asyncio.create_task(self._force.wait())
        await asyncio.wait({draining, force}, return_when=asyncio.FIRST_COMPLETED)
        await _ended(draining, force)


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and log what else they ended with."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            LOGGER.error("a mistake of the server's", exc_info=outcome)
