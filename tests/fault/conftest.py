"""The runtime on the synthetic bundle: in this process, or behind real HTTP."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtime import Runtime
from runtime.serve.app import build
from runtime.serve.backend_state import Upstream
from runtime.serve.limits import ClientPolicy
from runtime.serve.page import Page
from runtime.service.dispatcher import Dispatcher
from tests.bundles import write_bundle
from tests.runtime.serve.conftest import listening
from tests.runtime.service.staging import Errand, Stage
from tests.runtime.service.staging import service as staged

PATIENCE = 600  # seconds after which a test gives up


@pytest.fixture
def made() -> Iterator[Callable[..., Dispatcher[Errand]]]:
    """Makes services whose work the test plays, and closes them."""
    opened: list[Dispatcher[Errand]] = []

    def make(stage: Stage, **options: Any) -> Dispatcher[Errand]:
        opened.append(staged(stage, **options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("fault") / "bundle")


@pytest.fixture(scope="session")
def cache_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def serve(bundle_path: Path, cache_path: Path) -> Callable[..., Any]:
    """Runs what is given on an opened runtime."""

    def run(what: Callable[[Runtime], Coroutine[Any, Any, Any]], **options: Any) -> Any:
        async def main() -> Any:
            plain = {"bundle": bundle_path, "engine": "cpu", "cache": cache_path, "threads": 1}
            async with Runtime.open(**{**plain, **options}) as runtime:
                return await asyncio.wait_for(what(runtime), PATIENCE)

        return asyncio.run(main())

    return run


@dataclass(slots=True)
class Served:
    """Where a server listens, and the runtime behind it."""

    port: int
    runtime: Runtime


@pytest.fixture
def served(bundle_path: Path, cache_path: Path) -> Callable[..., Any]:
    """Serves the synthetic bundle over HTTP while the context lasts."""

    @contextmanager
    def start(**options: Any) -> Iterator[Served]:
        upstream = Upstream(
            lambda: Runtime.open(bundle_path, engine="cpu", cache=cache_path, threads=1, **options)  # type: ignore[arg-type,return-value]
        )
        app = build(upstream, "0", ClientPolicy(), Page())
        with listening(app, ClientPolicy(), upstream) as site:
            runtime: Any = upstream.runtime
            try:
                yield Served(site.port, runtime)
            finally:
                runtime._core.dispatcher.close()

    return start
