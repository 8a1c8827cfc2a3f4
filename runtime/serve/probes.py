"""Probes: the two requests that an orchestrator decides by. They are answered whoever else is refused."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.serve.problem import RETRY, SERVER, Problem

PROBES = frozenset({"/healthz", "/readyz"})


def crowded() -> Problem:
    """Say that there is no room for a connection."""
    message = "too many connections are open, in all or from this address; use fewer, or come again"
    return Problem(503, message, kind=SERVER, code="connections", retry_after=RETRY)


def only_probes(app: ASGIApp) -> ASGIApp:
    """Return an application for connections in reserve: it answers one probe, and refuses all else."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def last(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        replying = app if scope["path"] in PROBES else crowded().response()
        await replying(scope, receive, last)

    return answer
