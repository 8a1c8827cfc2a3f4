"""The command: options, a runtime, the routes in front of it, and the process around both."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from typing import cast

from runtime import Runtime
from runtime.serve import log
from runtime.serve.app import build
from runtime.serve.arguments import ServeOptions, parse
from runtime.serve.backend import Backend
from runtime.serve.backend_state import Upstream
from runtime.serve.hosts import served_names
from runtime.serve.lifecycle import Lifecycle, Server, server
from runtime.serve.limits import ClientPolicy
from runtime.serve.listener import listen, within_descriptors
from runtime.serve.page import Page


def main(
    arguments: Sequence[str] | None = None, opener: Callable[[ServeOptions], Backend] | None = None
) -> int:
    """Serve until a signal ends it, and give the exit code. `opener` opens a runtime. Raises `UsageError`."""
    options = parse(arguments)
    log.configure(options.log_format)
    upstream = Upstream(partial(opener or _open, options))
    with listen(options.host, options.port) as listener:
        policy = _settled(options.policy, listener.getsockname()[0])
        app = build(upstream, _version(), policy, Page())
        front = server(app, policy.limits)
        return asyncio.run(_serve(upstream, front, options.drain, listener))


async def _serve(upstream: Upstream, front: Server, drain: float, listener: socket.socket) -> int:
    return await Lifecycle(upstream, front, drain).run(listener)


def _settled(policy: ClientPolicy, address: str) -> ClientPolicy:
    """Return the policy of a server that listens on `address`, and warn of what other machines may do."""
    named = policy.hosts or ()
    if not ip_address(address).is_loopback:
        open_to = ["without a token (--token-file sets one)"] if policy.token is None else []
        if not named:
            open_to.append("by any name (--allowed-hosts names those that are served)")
        if open_to:
            log.LOGGER.warning("other machines may ask %s", " and ".join(open_to))
    return replace(policy, hosts=served_names(address, named), limits=within_descriptors(policy.limits))


def _open(options: ServeOptions) -> Backend:
    return cast("Backend", Runtime.open(options.bundle, warm=not options.cold, **options.runtime))


def _version() -> str:
    try:
        return version("aptp")
    except PackageNotFoundError:  # run from its sources
        return "unreleased"
