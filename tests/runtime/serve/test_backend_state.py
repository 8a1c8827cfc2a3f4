"""An upstream's life, and what a reload that goes wrong leaves behind."""

import asyncio
import threading

import pytest

from runtime.errors import Closed, NotABundle
from runtime.serve.backend_state import ServingState, Upstream
from tests.runtime.serve.fake_runtime import WAIT, FakeRuntime


class SlowOpener:
    """Opens `fake` once it may."""

    def __init__(self, fake: FakeRuntime) -> None:
        self.fake, self.go_on = fake, threading.Event()

    def __call__(self) -> FakeRuntime:
        assert self.go_on.wait(WAIT)
        return self.fake


@pytest.fixture
def slow(fake: FakeRuntime) -> SlowOpener:
    return SlowOpener(fake)


def test_opening_does_not_hold_up_the_loop(fake: FakeRuntime, slow: SlowOpener) -> None:
    async def scene() -> None:
        upstream = Upstream(slow)
        opening = asyncio.create_task(upstream.open())
        await asyncio.sleep(0)
        assert upstream.state is ServingState.OPENING
        with pytest.raises(Closed, match="opening"):
            _ = upstream.runtime
        slow.go_on.set()
        await opening
        assert upstream.state is ServingState.SERVING
        assert upstream.runtime is fake

    asyncio.run(scene())


def test_what_is_opened_too_late_is_closed_again(fake: FakeRuntime, slow: SlowOpener) -> None:
    async def scene() -> None:
        upstream = Upstream(slow)
        opening = asyncio.create_task(upstream.open())
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.sleep(0)
        assert not opening.done()
        slow.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert fake.closed.is_set()
        assert upstream.state is ServingState.OPENING

    asyncio.run(scene())


@pytest.mark.parametrize("error", [NotABundle("nothing there"), KeyError("a mistake")])
def test_a_reload_that_fails_changes_nothing(fake: FakeRuntime, error: Exception) -> None:
    async def scene() -> None:
        upstream = Upstream(lambda: fake)
        await upstream.open()

        async def refuse() -> None:
            raise error

        fake.reload = refuse  # type: ignore[method-assign]
        await upstream.reload()
        assert upstream.reloads == {"done": 0, "refused": 1}
        assert (upstream.state, upstream.runtime) == (ServingState.SERVING, fake)

    asyncio.run(scene())


def test_nothing_is_let_in_from_the_moment_it_drains(fake: FakeRuntime) -> None:
    """Before the runtime itself knows, which another thread has to tell it."""

    async def scene() -> None:
        upstream, told = Upstream(lambda: fake), asyncio.Event()
        await upstream.open()

        async def wait(seconds: float) -> bool:
            return await told.wait()

        fake.drain = wait  # type: ignore[method-assign]
        draining = asyncio.create_task(upstream.drain(1.0))
        await asyncio.sleep(0)
        assert upstream.runtime is fake
        with pytest.raises(Closed, match="draining"):
            _ = upstream.serving
        told.set()
        await draining

    asyncio.run(scene())


def test_closed_is_closed(fake: FakeRuntime) -> None:
    async def scene() -> None:
        upstream = Upstream(lambda: fake)
        await upstream.open()
        await upstream.drain(1.0)
        await upstream.close()
        assert fake.closed.is_set()
        with pytest.raises(Closed, match="closed"):
            _ = upstream.runtime

    asyncio.run(scene())
