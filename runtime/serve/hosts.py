"""The Host check: a server answers to its own names alone.

The owner of a page can bind the page's name to the address of this machine (DNS rebinding). A browser then
takes page and server for one site, and nothing but the name that it sends tells them apart.
"""

import re
from collections.abc import Collection
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.serve.probes import PROBES
from runtime.serve.problem import Problem

ANY = "*"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
NAME = re.compile(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]")

_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:[0-9]*)?")


def served_names(address: str, named: Collection[str]) -> Collection[str] | None:
    """Return the names that a server listening on `address` answers to; None: any.

    `named` are those that its operator allows.
    """
    if ANY in named:
        return None
    if not ip_address(address).is_loopback:
        return tuple(named) or None
    return *LOOPBACK, f"[{address}]" if ":" in address else address, *named


class HostCheck:
    """An ASGI application that answers to `names` alone: `*.example.org` is any name below example.org."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        lower = [name.lower() for name in names]
        self._app = app
        self._names = frozenset(lower)
        self._suffixes = tuple(name[1:] for name in lower if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        host = Headers(scope=scope).get("host", "")
        if self._is_served(host):
            await self._app(scope, receive, send)
            return
        message = (
            f"this server does not answer to {host[:64]!a}; its operator names those it does: --allowed-hosts"
        )
        await Problem(421, message, code="unknown_host").response()(scope, receive, send)

    def _is_served(self, host: str) -> bool:
        found = _HOST.fullmatch(host.lower())
        return found is not None and (found[1] in self._names or found[1].endswith(self._suffixes))
