"""The OpenAPI document, written by hand: tests hold `openapi.json` against routes, parser and replies."""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

FILE = Path(__file__).with_name("openapi.json")


def document(version: str, models: Sequence[str]) -> dict[str, Any]:
    """Return the document of this version of the software, whose model has these names."""
    described: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    described["info"]["version"] = version
    names = "|".join(map(re.escape, models))
    described["components"]["schemas"]["Generation"]["properties"]["model"] |= {
        "pattern": f"^({names})(:(dense|0|[1-9][0-9]{{0,3}}))?$",
        "default": models[0],
    }
    return described


def endpoint(version: str, models: Sequence[str]) -> Callable[[Request], Awaitable[Response]]:
    """Make the endpoint that replies with it."""
    body = json.dumps(document(version, models)).encode()

    async def described(_: Request) -> Response:
        return Response(body, media_type="application/json")

    return described
