"""Pipelines, runtimes and streams that a program forgets to close take no thread along."""

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest

from runtime import GenerationParams, Pipeline, Runtime
from runtime.engines.engine import GraphEngine
from tests.runtime.service.staging import PATIENCE, eventually


def threads_of_a_runtime() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("aptp-")}


def test_a_pipeline_opened_again_and_again(bundle_path: Path, cache_path: Path) -> None:
    before, models = threads_of_a_runtime(), []
    for _ in range(3):
        pipeline = Pipeline.open(bundle_path, engine="cpu", cache=cache_path, threads=1)
        pipeline.generate("a red circle", GenerationParams(steps=1))
        models.append(weakref.ref(pipeline.models))
    del pipeline
    gc.collect()
    eventually(lambda: threads_of_a_runtime() == before)
    gc.collect()
    assert [found() for found in models] == [None] * 3


def test_a_runtime_lives_as_long_as_its_streams(bundle_path: Path, cache_path: Path) -> None:
    before = threads_of_a_runtime()

    async def main() -> list[str]:
        stream = Runtime.open(bundle_path, engine="cpu", cache=cache_path, threads=1).stream(
            "a red circle", GenerationParams(steps=1)
        )
        gc.collect()
        return [type(event).__name__ async for event in stream]

    assert asyncio.run(main())[-1] == "Finished"

    def ended() -> bool:
        gc.collect()  # threads may have held the request a moment longer than its last event took
        return threads_of_a_runtime() == before

    eventually(ended)


def test_a_stream_that_nobody_enters_is_cancelled(
    bundle_path: Path, cache_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, let, run = threading.Event(), threading.Event(), GraphEngine.run

    def waiting(self: GraphEngine, *inputs: object) -> object:
        reached.set()
        assert let.wait(PATIENCE)
        return run(self, *inputs)  # type: ignore[arg-type]

    monkeypatch.setattr(GraphEngine, "run", waiting)

    async def main() -> None:
        async with Runtime.open(bundle_path, engine="cpu", cache=cache_path, threads=1) as runtime:
            stream = runtime.stream("a red circle")
            await asyncio.to_thread(reached.wait, PATIENCE)
            freed = weakref.ref(stream)
            del stream
            gc.collect()
            assert freed() is None
            eventually(lambda: runtime.status().cancelled == 1)
            let.set()

    asyncio.run(main())


FORGOTTEN = """
import sys
from runtime import Pipeline
pipeline = Pipeline.open(sys.argv[1], engine="cpu", cache=sys.argv[2])
pipeline.generate("a red circle")
"""


def test_a_program_that_forgets_to_close_ends(bundle_path: Path, cache_path: Path) -> None:
    command = [sys.executable, "-c", FORGOTTEN, str(bundle_path), str(cache_path)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
