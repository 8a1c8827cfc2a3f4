"""The OpenAPI document, written by hand: tests hold `openapi.json` against routes, parser and replies."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

FILE = Path(__file__).with_name("openapi.json")


def document(version: str) -> dict[str, Any]:
    """Return the document of this version of the software."""
    described: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    described["info"]["version"] = version
    return described


def endpoint(version: str) -> Callable[[Request], Awaitable[Response]]:
    """Make the endpoint that replies with it."""
    body = json.dumps(document(version)).encode()

    async def described(_: Request) -> Response:
        return Response(body, media_type="application/json")

    return described
