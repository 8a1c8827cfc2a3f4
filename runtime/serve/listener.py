"""The socket that takes connections, and what it does where the process has no descriptor left for one."""

import contextlib
import errno
import os
import resource
import socket
import time
from dataclasses import replace

from runtime.errors import UsageError
from runtime.serve.limits import ClientLimits
from runtime.serve.log import LOGGER

BACKLOG = 128  # connections that wait to be taken; asyncio takes as many at once, and serves nobody meanwhile
FILES = 256  # descriptors for all that is no connection: bundles, caches, engines, logs
QUIET = 60.0  # seconds between two warnings that there are no descriptors

_EXHAUSTED = (errno.EMFILE, errno.ENFILE)


class Listener(socket.socket):
    """A listening TCP socket.

    Its protocol is named: asyncio sends small replies at once (TCP_NODELAY) only where it knows of TCP.

    asyncio answers a lack of descriptors with a line of log for every connection that waits, and tries again
    after a second, with all of them. This socket has a descriptor in reserve: it takes such a connection with
    that one, and closes it.
    """

    def __init__(self, family: socket.AddressFamily) -> None:
        super().__init__(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._warned = -QUIET

    def accept(self) -> tuple[socket.socket, object]:
        """Take a connection. Raises `BlockingIOError` where there is none, or no descriptor for it."""
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._refuse(error)
        raise BlockingIOError(errno.EAGAIN, "no descriptor is left for a connection")

    def close(self) -> None:
        """Take no more connections."""
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        super().close()

    def _refuse(self, error: OSError) -> None:
        """Close the connection that waits longest: its client learns that it has to come again."""
        if self._spare >= 0:
            os.close(self._spare)
        with contextlib.suppress(OSError):  # it left, or another took the descriptor: the next turn tries
            super().accept()[0].close()
        try:
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._spare = -1
        if time.monotonic() - self._warned >= QUIET:
            self._warned = time.monotonic()
            LOGGER.warning("connections are refused: %s; raise the limit (ulimit -n)", error.strerror)


def listen(host: str, port: int) -> Listener:
    """Return a socket that takes connections from now on; a server serves them later. Raises `UsageError`."""
    listener = Listener(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, UnicodeError) as error:
        listener.close()
        raise UsageError(
            f"--host {host} --port {port}: cannot listen there: {error}; choose others"
        ) from error
    return listener


def url(listener: socket.socket) -> str:
    """Return the address that a listener has."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def within_descriptors(limits: ClientLimits) -> ClientLimits:
    """Return limits whose connections leave the process the descriptors it needs.

    Raises the process's own limit as far as the system lets it, and warns where that is not enough.
    """
    wanted = limits.connections + limits.reserve + BACKLOG + FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return limits
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == wanted:
        return limits
    reserve = min(limits.reserve, allowed // 8)
    connections = max(1, max(allowed - BACKLOG - FILES, allowed // 2) - reserve)
    LOGGER.warning("%d descriptors allow %d connections; raise the limit (ulimit -n)", allowed, connections)
    return replace(limits, connections=connections, reserve=reserve)
