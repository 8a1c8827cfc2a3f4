"""The real server on a loopback port, with a `Studio` for its runtime."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.serve.app import build
from runtime.serve.backend_state import Upstream
from runtime.serve.lifecycle import Server, server
from runtime.serve.limits import ClientPolicy
from runtime.serve.listener import listen
from runtime.serve.page import Page
from tests.browser.studio import Studio

WAIT = 20  # seconds after which a test gives up


@contextmanager
def serving(studio: Studio, token: str | None = None) -> Iterator[str]:
    """The page and what it asks for, with `studio` behind it; gives the origin."""
    upstream, policy = Upstream(studio.opener), ClientPolicy(token=token)
    front = server(build(upstream, "1.2.3", policy, Page()), policy.limits)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=asyncio.run, args=(_serve(upstream, front, listener),))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            studio.open()
            studio.release()
            front.should_exit = True
            thread.join(WAIT)
            assert not thread.is_alive()


async def _serve(upstream: Upstream, front: Server, listener: socket.socket) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(upstream.open())
        group.create_task(front.serve(sockets=[listener]))
