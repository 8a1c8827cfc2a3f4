"""Bearer tokens: everything but the page, the document and the two health checks needs one, if one is set.

What is open is listed, so that a new route is closed. Comparing takes a time that tells nothing of a token.
"""

import hashlib
import hmac
import re
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.errors import UsageError
from runtime.serve.problem import Problem

OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
OPEN_BELOW = "/page/"

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")


def read_token(path: Path) -> str:
    """Read the token in a file, whatever white space is around it. Raises `UsageError`."""
    try:
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {path}: cannot be read as ASCII text: {error}") from error
    if not _TOKEN.fullmatch(text):
        raise UsageError(
            f"--token-file {path}: give one token of 16 to 512 letters, digits and ._~+/=-, "
            "for example from `openssl rand -hex 32`"
        )
    return text


class Authentication:
    """An ASGI application behind a token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._digest = app, _digest(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope["path"]) or self._is_known(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        problem = Problem(
            401,
            "this server needs a token; send it as `Authorization: Bearer TOKEN`",
            kind="authentication_error",
            code="invalid_api_key",
        )
        response = problem.response()
        response.headers["www-authenticate"] = "Bearer"
        await response(scope, receive, send)

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        # Digests are of one length, and the comparison of two of them takes one time.
        return hmac.compare_digest(_digest(token.strip()), self._digest) and scheme.lower() == "bearer"


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(OPEN_BELOW)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("latin-1", "replace")).digest()
