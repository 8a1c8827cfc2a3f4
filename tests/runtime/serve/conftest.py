"""A fake runtime behind the real routes: in this process, or behind real uvicorn on a free port."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from runtime.bundle.reader import Bundle
from runtime.serve.app import build
from runtime.serve.backend_state import Upstream
from runtime.serve.lifecycle import Server, server
from runtime.serve.limits import ClientPolicy
from runtime.serve.listener import listen
from runtime.serve.page import Page
from tests.runtime.serve.fake_runtime import WAIT, FakeRuntime

VERSION = "1.2.3"


@dataclass(slots=True)
class Site:
    """Where a server listens."""

    port: int
    server: Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def fake(bundle: Bundle) -> FakeRuntime:
    return FakeRuntime(bundle)


@pytest.fixture
def page(tmp_path: Path) -> Page:
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>aptp</title>")
    (folder / "main.js").write_text("export {};")
    (tmp_path / "secret.js").write_text("nobody's business")
    (folder / "link.js").symlink_to(tmp_path / "secret.js")
    return Page(folder)


@pytest.fixture
def upstream(fake: FakeRuntime) -> Upstream:
    return Upstream(lambda: fake)


@contextmanager
def opened(upstream: Upstream, policy: ClientPolicy, page: Page) -> Iterator[TestClient]:
    """A client of the routes, in front of an open upstream."""
    with TestClient(build(upstream, VERSION, policy, page), raise_server_exceptions=False) as client:
        assert client.portal is not None
        client.portal.call(upstream.open)
        yield client


@pytest.fixture
def client(upstream: Upstream, page: Page) -> Iterator[TestClient]:
    with opened(upstream, ClientPolicy(), page) as found:
        yield found


@contextmanager
def listening(app: Starlette, policy: ClientPolicy, upstream: Upstream) -> Iterator[Site]:
    """The application behind real uvicorn, in a thread."""
    started = threading.Event()

    front = server(app, policy.limits)
    startup = front.startup

    async def tell(sockets: object = None) -> None:
        await upstream.open()
        await startup(sockets)
        started.set()

    front.startup = tell
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=front.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert started.wait(WAIT)
            yield Site(listener.getsockname()[1], front)
        finally:
            front.should_exit = True
            thread.join(WAIT)
            assert not thread.is_alive()


@pytest.fixture
def listen_with(upstream: Upstream, page: Page) -> Callable[[ClientPolicy], AbstractContextManager[Site]]:
    def start(policy: ClientPolicy) -> AbstractContextManager[Site]:
        return listening(build(upstream, VERSION, policy, page), policy, upstream)

    return start


@pytest.fixture
def site(listen_with: Callable[[ClientPolicy], AbstractContextManager[Site]]) -> Iterator[Site]:
    with listen_with(ClientPolicy()) as found:
        yield found
