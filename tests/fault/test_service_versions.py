"""New versions of a bundle under load: no request is lost, none is made of two, and nothing old is kept."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import Runtime
from runtime.engines.engine import GraphEngine
from runtime.errors import Refused
from runtime.models.models import Models
from runtime.request.params import GenerationParams
from tests.bundles import write_bundle

WAIT = 120


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two versions of a bundle, which draw differently, and a bad one."""
    folder = tmp_path_factory.mktemp("versions")
    write_bundle(folder / "one")
    write_bundle(folder / "two", seed=1)
    write_bundle(folder / "bad", seed=2)
    (folder / "bad" / "manifest.json").write_bytes(b"{}")
    return folder


class Gate:
    """Holds what comes to it, in whatever thread."""

    def __init__(self) -> None:
        self.reached, self.let = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.let.wait(WAIT)

    async def wait(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, WAIT)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.let.set()


def traces(served: Runtime) -> list["weakref.ref[Any]"]:
    """Return references to all that a version has in memory."""
    core = served._core
    return [weakref.ref(core.models), *(weakref.ref(engine) for engine in core.dispatcher._engines.values())]


async def gone(traced: list["weakref.ref[Any]"]) -> bool:
    """Whether nothing of it is left, once the threads have come to rest."""
    async with asyncio.timeout(WAIT):
        while any(trace() is not None for trace in traced):
            gc.collect()
            await asyncio.sleep(0.001)
    return True


@pytest.mark.parametrize("reloads", [3, pytest.param(100, marks=pytest.mark.fault)])
def test_versions_change_under_load(serve: Any, versions: Path, reloads: int) -> None:
    """Four clients ask all the time; every third version is a bad one, and refused."""

    async def use(served: Runtime) -> None:
        asked = "red", GenerationParams(steps=10, seed=7, code=2)
        one = (await served.generate(*asked)).pixels.tobytes()
        await served.reload(versions / "two")
        two = (await served.generate(*asked)).pixels.tobytes()
        assert one != two
        serving, over, seen = {two}, asyncio.Event(), set[bytes]()

        async def ask() -> None:
            while not over.is_set():
                before = set(serving)
                image = (await served.generate(*asked)).pixels.tobytes()
                assert image in before | serving
                seen.add(image)

        clients = [asyncio.create_task(ask()) for _ in range(4)]
        for index in range(reloads):
            name, image = [("one", one), ("two", two), ("bad", None)][index % 3]
            if image is None:
                with pytest.raises(Refused):
                    await served.reload(versions / name)
                continue
            seen.clear()
            old = traces(served)
            serving.add(image)
            await served.reload(versions / name)
            serving.intersection_update({image})
            assert await gone(old)
            async with asyncio.timeout(WAIT):
                while image not in seen:
                    await asyncio.sleep(0)
        over.set()
        await asyncio.gather(*clients)
        status = served.status()
        assert (status.failed, status.cancelled, status.rejected) == (0, 0, 0)
        assert status.admitted == status.finished
        assert {key.models for key in served._core.dispatcher._engines} == {served._core.models}  # type: ignore[attr-defined]

    serve(use, bundle=versions / "one")


def test_nothing_is_kept_of_a_version_whose_last_call_was_cancelled(
    serve: Any, versions: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = GraphEngine.run
    monkeypatch.setattr(GraphEngine, "run", lambda self, *inputs: (gate(), run(self, *inputs))[1])
    serve(leave_at(gate, versions), bundle=versions / "one")


def test_nothing_is_kept_of_a_version_whose_last_opening_was_for_nobody(
    serve: Any, versions: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = Models.open_engine
    monkeypatch.setattr(Models, "open_engine", lambda self, bucket: (gate(), opening(self, bucket))[1])
    serve(leave_at(gate, versions), bundle=versions / "one")


def leave_at(gate: Gate, versions: Path) -> Any:
    """A request that is taken back while its version, retired meanwhile, works on it at the gate."""

    async def use(served: Runtime) -> None:
        stream = served.stream("red", GenerationParams(steps=10, code=0))
        await gate.wait()
        old = traces(served)
        await served.reload(versions / "two")
        await stream.aclose()
        del stream
        gate.let.set()
        assert await gone(old)  # with no other request to come
        await served.generate("red", GenerationParams(code=0))
        assert {key.models for key in served._core.dispatcher._engines} == {served._core.models}  # type: ignore[attr-defined]

    return use
