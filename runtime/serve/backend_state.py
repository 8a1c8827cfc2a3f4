"""The runtime behind the routes: opening, serving, draining, closed. Knows neither HTTP nor signals."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from enum import Enum

from runtime.errors import Closed, RuntimeFailure
from runtime.machine.threads import in_thread
from runtime.serve.backend import Backend
from runtime.serve.log import LOGGER


class ServingState(Enum):
    """Where an upstream is in its life. It goes forward only."""

    OPENING = "opening"
    SERVING = "serving"
    DRAINING = "draining"
    CLOSED = "closed"


class Upstream:
    """A runtime that `opener` opens, in a thread: it may take seconds.

    `since`: the Unix time at which the bundle was opened.
    """

    def __init__(self, opener: Callable[[], Backend]) -> None:
        self._opener = opener
        self._runtime: Backend | None = None
        self.state = ServingState.OPENING
        self.since = 0
        self.reloads = {"done": 0, "refused": 0}

    @property
    def runtime(self) -> Backend:
        """The open runtime, which may be draining. Raises `Closed` before and after."""
        if self._runtime is None:
            raise Closed(f"the server is {self.state.value}; try again in a moment")
        return self._runtime

    @property
    def serving(self) -> Backend:
        """The runtime for a new request. Raises `Closed`, while it drains as well."""
        if self.state is ServingState.DRAINING:
            raise Closed("the server is draining and takes no more requests; ask another one")
        return self.runtime

    @property
    def trouble(self) -> str | None:
        """Why nobody can be served now, or None."""
        runtime = self._runtime
        if runtime is None or self.state is not ServingState.SERVING:
            return str(self.state.value)
        return runtime.trouble

    @property
    def degraded(self) -> list[str]:
        """The experts that are not asked any more, because they failed."""
        experts = self.runtime.status().experts
        return [name for name, expert in experts.items() if expert.state == "quarantined"]

    async def open(self) -> None:
        """Open the runtime. Raises `RuntimeFailure`."""
        opening = asyncio.ensure_future(in_thread(self._opener))
        try:
            runtime = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # A thread cannot be stopped. What it opens has threads of its own, and is closed again.
            with contextlib.suppress(RuntimeFailure):
                await (await opening).__aexit__(None, None, None)
            raise
        await runtime.__aenter__()
        self._runtime = runtime
        self.since = int(time.time())
        if self.state is ServingState.OPENING:
            self.state = ServingState.SERVING
        LOGGER.info("serving", extra={"facts": self._version(runtime)})

    async def reload(self) -> None:
        """Serve new requests from the bundle as it is now. One that cannot be opened changes nothing."""
        runtime = self.runtime
        try:
            await runtime.reload()
        except RuntimeFailure as failure:
            self.reloads["refused"] += 1
            LOGGER.error("the new bundle is refused, and the old one serves on: %s", failure)
            return
        except Exception:  # not even a mistake of ours takes the old one down
            self.reloads["refused"] += 1
            LOGGER.exception("a mistake of the server's; the old bundle serves on")
            return
        self.reloads["done"] += 1
        self.since = int(time.time())
        LOGGER.info("reloaded", extra={"facts": self._version(runtime)})

    async def drain(self, seconds: float) -> None:
        """Let nothing more in, and wait for what is under way."""
        self.state = ServingState.DRAINING
        if self._runtime is None:
            return
        LOGGER.info("draining", extra={"facts": {"seconds": seconds}})
        if not await self._runtime.drain(seconds):
            LOGGER.warning("requests were cut off: they took longer than the drain")

    async def close(self) -> None:
        """End what is left, and free the engines."""
        self.state = ServingState.CLOSED
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            await runtime.__aexit__(None, None, None)

    def _version(self, runtime: Backend) -> dict[str, str]:
        return {"bundle": runtime.bundle.digest[:12], "engine": runtime.engine}
