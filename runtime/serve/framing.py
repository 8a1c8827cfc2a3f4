"""One end for each request: a head that gives its body two lengths is refused.

h11 follows Transfer-Encoding; a proxy that followed Content-Length would see other requests than this server
does (request smuggling). RFC 9112, section 6.3, lets a server refuse, and has it close the connection.
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.serve.problem import Problem


class Framing:
    """An ASGI application whose requests have one length."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        if not {"content-length", "transfer-encoding"} <= set(headers):
            await self._app(scope, receive, send)
            return
        message = "the head has Content-Length and Transfer-Encoding; send one of them"
        response = Problem(400, message, code="no_http").response()
        response.headers["connection"] = "close"
        await response(scope, receive, send)
