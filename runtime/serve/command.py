"""The command: options, a runtime, the routes in front of it, and the process around both."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from typing import cast

from starlette.types import ASGIApp

from runtime import Runtime
from runtime.serve import log
from runtime.serve.app import build
from runtime.serve.arguments import ServeOptions, parse
from runtime.serve.backend import Backend
from runtime.serve.backend_state import Upstream
from runtime.serve.lifecycle import Lifecycle, listen, server
from runtime.serve.page import Page


def main(
    arguments: Sequence[str] | None = None, opener: Callable[[ServeOptions], Backend] | None = None
) -> int:
    """Serve until a signal ends it, and give the exit code. `opener` opens a runtime. Raises `UsageError`."""
    options = parse(arguments)
    log.configure(options.log_format)
    upstream = Upstream(partial(opener or _open, options))
    app = build(upstream, _version(), options.policy, Page())
    with listen(options.host, options.port) as listener:
        if options.policy.token is None and not ip_address(listener.getsockname()[0]).is_loopback:
            log.LOGGER.warning("other machines may ask without a token; --token-file sets one")
        return asyncio.run(_serve(options, upstream, app, listener))


async def _serve(options: ServeOptions, upstream: Upstream, app: ASGIApp, listener: socket.socket) -> int:
    front = server(app, options.policy.limits)
    return await Lifecycle(upstream, front, options.drain).run(listener)


def _open(options: ServeOptions) -> Backend:
    return cast("Backend", Runtime.open(options.bundle, warm=not options.cold, **options.runtime))


def _version() -> str:
    try:
        return version("aptp")
    except PackageNotFoundError:  # run from its sources
        return "unreleased"
