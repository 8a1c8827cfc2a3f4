"""Endpoints for operators: is the server alive, may it be asked, what is it doing."""

import asyncio
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from runtime.serve.backend_state import Upstream
from runtime.serve.metrics import CONTENT_TYPE, Metrics
from runtime.serve.reply import json_reply


class Operations:
    """A server as its operators see it."""

    def __init__(self, upstream: Upstream, metrics: Metrics) -> None:
        self._upstream, self._metrics = upstream, metrics

    async def health(self, _: Request) -> Response:
        """Reply whether this process answers."""
        return json_reply({"status": "alive"})

    async def readiness(self, _: Request) -> Response:
        """Reply whether requests are let in, and which experts are not asked any more."""
        if trouble := self._upstream.trouble:
            return json_reply({"status": "not ready", "reasons": [trouble]}, 503)
        return json_reply({"status": "ready", "degraded": self._upstream.degraded})

    async def status(self, _: Request) -> Response:
        """Return the runtime's own view of itself. Raises `Closed`."""
        status: Any = self._upstream.runtime.status()
        return json_reply(asdict(status))

    async def metrics(self, _: Request) -> Response:
        """Reply with what Prometheus reads."""
        return Response(await asyncio.to_thread(self._metrics.text), media_type=CONTENT_TYPE)
