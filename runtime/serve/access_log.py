"""Every request from the outside: its id, its line in the log, and its place in the metrics.

An id comes from the client where it is a plain one, else it is made here; the reply carries it.
"""

import re
import secrets
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.serve.log import LOGGER
from runtime.serve.metrics import Metrics
from runtime.serve.problem import Problem

ID = "x-request-id"
UNKNOWN = "unknown"

_VALID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PATH = 200  # characters of it that are logged


class Observation:
    """An ASGI application, watched."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(ID, "")
        identity = given if _VALID.fullmatch(given) else secrets.token_hex(8)
        facts: dict[str, Any] = {}
        scope.setdefault("state", {}).update(id=identity, facts=facts)
        start, status = time.perf_counter(), 0

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[ID] = identity
            await send(message)

        try:
            await self._app(scope, receive, tell)
        finally:
            self._note(scope, status, time.perf_counter() - start, facts)

    def _note(self, scope: Scope, status: int, seconds: float, facts: dict[str, Any]) -> None:
        # A method or path that a client made up must not become a metric of its own.
        method = scope["method"] if scope["method"] in _METHODS else UNKNOWN
        route = getattr(scope.get("route"), "path", UNKNOWN)
        self._metrics.replied(method, route, status, seconds)
        told = {
            "id": scope["state"]["id"],
            "method": method,
            "path": scope["path"][:_PATH],
            "status": status,
            "seconds": round(seconds, 6),
            **facts,
        }
        LOGGER.info("request", extra={"facts": told})


class LastResort:
    """An ASGI application whose mistakes are logged, and told as a reply."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def tell(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, tell)
        except Exception:
            identity = scope["state"]["id"]
            LOGGER.exception("a mistake of the server's", extra={"facts": {"id": identity}})
            if started:
                raise  # too late for another reply: the connection has to end
            await Problem.unforeseen(identity).response()(scope, receive, send)
