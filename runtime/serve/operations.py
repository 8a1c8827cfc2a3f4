"""What operators ask: is it alive, may it be asked, what is it doing."""

import asyncio
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from .metrics import CONTENT_TYPE, Metrics
from .reply import json_reply
from .service import Service, State


class Operations:
    """A service as its operators see it."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service, self._metrics = service, metrics

    async def health(self, _: Request) -> Response:
        """Whether this process answers."""
        return json_reply({"status": "alive"})

    async def readiness(self, _: Request) -> Response:
        """Whether requests are let in, and which experts are not asked any more."""
        if self._service.state is not State.SERVING:
            return json_reply({"status": "not ready", "reasons": [self._service.state.value]}, 503)
        return json_reply({"status": "ready", "degraded": self._service.degraded})

    async def status(self, _: Request) -> Response:
        """The runtime's own view of itself. Raises `Closed`."""
        status: Any = self._service.runtime.status()
        return json_reply(asdict(status))

    async def metrics(self, _: Request) -> Response:
        """What Prometheus reads."""
        return Response(await asyncio.to_thread(self._metrics.text), media_type=CONTENT_TYPE)
