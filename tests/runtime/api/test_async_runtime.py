"""The runtime for asynchronous programs, on the synthetic bundle."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import Pipeline, Runtime
from runtime.engines.engine import GraphEngine
from runtime.errors import (
    Cancelled,
    Closed,
    CodeUnavailable,
    DeadlineExceeded,
    EngineFailure,
    IntegrityError,
    Quarantined,
    QueueFull,
    UsageError,
)
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams
from runtime.service.events import Finished, Queued, Started, Step
from tests.bundles import edit, write_bundle

Run = Callable[[Callable[[Runtime], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture
def serve(bundle_path: Path, cache_path: Path) -> Callable[..., Any]:
    """Runs what is given on an opened runtime."""

    def run(what: Callable[[Runtime], Coroutine[Any, Any, Any]], **options: Any) -> Any:
        async def main() -> Any:
            plain = {"bundle": bundle_path, "engine": "cpu", "cache": cache_path, "threads": 1}
            async with Runtime.open(**{**plain, **options}) as runtime:
                return await asyncio.wait_for(what(runtime), 60)

        return asyncio.run(main())

    return run


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Engines that wait for the test to let them run."""
    let, run = threading.Event(), GraphEngine.run

    def waiting(self: GraphEngine, *inputs: Any) -> Any:
        assert let.wait(60)
        return run(self, *inputs)

    monkeypatch.setattr(GraphEngine, "run", waiting)
    yield let
    let.set()


def test_an_image_is_that_of_the_pipeline(serve: Any, runtime: Pipeline) -> None:
    async def use(served: Runtime) -> Any:
        return await served.generate("a red circle", GenerationParams(seed=3, steps=5))

    image = serve(use)
    (wanted,) = runtime.generate("a red circle", GenerationParams(seed=3, steps=5))
    assert image.pixels.tobytes() == wanted.pixels.tobytes()
    assert image.choice == wanted.choice


def test_many_at_once_are_each_what_they_are_alone(serve: Any, runtime: Pipeline) -> None:
    prompts = ["red", "blue", "a circle", "small square"] * 4

    async def use(served: Runtime) -> Any:
        return await asyncio.gather(
            *(served.generate(p, GenerationParams(seed=i)) for i, p in enumerate(prompts))
        )

    images = serve(use)
    for index, image in enumerate(images):
        (alone,) = runtime.generate(prompts[index], GenerationParams(seed=index))
        assert image.pixels.tobytes() == alone.pixels.tobytes()


def test_events_of_a_request(serve: Any) -> None:
    async def use(served: Runtime) -> Any:
        return [event async for event in served.stream("red", GenerationParams(steps=3))]

    queued, started, *steps, last, finished = serve(use)
    assert queued == Queued(0)
    assert isinstance(started, Started)
    assert all(isinstance(step, Step) and step.total == 3 for step in (*steps, last))
    assert [step.done for step in (*steps, last)] == [1, 2, 3]
    assert steps[0].timestep > steps[1].timestep > last.timestep
    assert isinstance(finished, Finished)
    assert finished.image.choice == started.choice


def test_some_steps_show_the_image_and_the_last_does_not(serve: Any) -> None:
    async def use(served: Runtime) -> Any:
        stream = served.stream("red", GenerationParams(steps=9), RequestOptions(previews=2))
        return [event async for event in stream if isinstance(event, Step)]

    steps = serve(use)
    assert [step.done for step in steps] == list(range(1, 10))
    assert [step.done for step in steps if step.preview is not None] == [3, 6]
    assert steps[2].preview.shape == (8, 8, 3)


def test_a_bundle_without_colours_has_no_previews(serve: Any, copy_path: Path) -> None:
    edit(copy_path, lambda manifest: manifest["decoder"].pop("preview"))

    async def use(served: Runtime) -> Any:
        return [
            event
            async for event in served.stream("red", GenerationParams(steps=3), RequestOptions(previews=2))
        ]

    *_, first, second, last, _ = serve(use, bundle=copy_path)
    steps = [first, second, last]
    assert [(step.done, step.preview) for step in steps] == [(1, None), (2, None), (3, None)]


def test_admission_is_decided_in_the_call(serve: Any) -> None:
    async def use(served: Runtime) -> None:
        with pytest.raises(UsageError, match="steps 0"):
            served.stream("red", GenerationParams(steps=0))
        with pytest.raises(UsageError, match="priority 2: give -1, 0 or 1"):
            served.stream("red", options=RequestOptions(priority=2))
        with pytest.raises(UsageError, match="deadline 0: give a number of seconds above 0"):
            served.stream("red", options=RequestOptions(deadline=0))
        with pytest.raises(UsageError, match="previews -1: give an integer of at least 0"):
            served.stream("red", options=RequestOptions(previews=-1))
        assert served.status().admitted == 0

    serve(use)


def test_too_many_are_refused(serve: Any, held: threading.Event) -> None:
    async def use(served: Runtime) -> None:
        streams = [served.stream("red") for _ in range(3)]
        with pytest.raises(QueueFull):
            served.stream("red")
        for stream in streams:
            await stream.aclose()
        held.set()
        status = served.status()
        assert (status.max_running, status.max_queued, status.rejected) == (1, 2, 1)

    serve(use, max_running=1, max_queued=2)


def test_leaving_a_stream_cancels_its_request(serve: Any, held: threading.Event) -> None:
    async def use(served: Runtime) -> None:
        async with served.stream("red", GenerationParams(steps=10)) as stream:
            assert isinstance(await anext(stream), Queued)
            assert isinstance(await anext(stream), Started)
        held.set()
        await served.generate("blue")
        status = served.status()
        assert (status.cancelled, status.finished, status.failed) == (1, 1, 0)

    serve(use)


def test_cancelling_the_task_cancels_the_request(serve: Any, held: threading.Event) -> None:
    async def use(served: Runtime) -> None:
        task = asyncio.create_task(served.generate("red", GenerationParams(steps=10)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        held.set()
        assert served.status().cancelled == 1

    serve(use)


def test_a_deadline(serve: Any, held: threading.Event) -> None:
    async def use(served: Runtime) -> None:
        with pytest.raises(DeadlineExceeded):
            await served.generate("red", options=RequestOptions(deadline=0.05))
        held.set()

    serve(use)


def test_closing_ends_what_is_under_way(bundle_path: Path, cache_path: Path, held: threading.Event) -> None:
    async def main() -> None:
        async with Runtime.open(bundle_path, engine="cpu", cache=cache_path) as served:
            stream = served.stream("red")
            assert isinstance(await anext(stream), Queued)
            threading.Timer(0.05, held.set).start()  # closing waits for the call under way
        with pytest.raises(Closed):
            async for _ in stream:
                pass
        with pytest.raises(Closed):
            await served.generate("red")

    asyncio.run(main())


def test_an_engine_that_keeps_failing_is_left_alone(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = GraphEngine.run
    spoilt: list[object] = []

    def failing(self: GraphEngine, *inputs: Any) -> Any:
        if self in spoilt:
            raise EngineFailure("out of order")
        return run(self, *inputs)

    async def use(served: Runtime) -> Any:
        await served.generate("red", GenerationParams(code=0))
        spoilt.extend(
            each for each in served._core.dispatcher._engines.values() if isinstance(each, GraphEngine)
        )
        for _ in range(3):
            with pytest.raises(EngineFailure, match="out of order"):
                await served.generate("red", GenerationParams(code=0))
        with pytest.raises(Quarantined, match="expert '0' failed 3 times in a row") as ill:
            await served.generate("red", GenerationParams(code=0))
        assert isinstance(ill.value, CodeUnavailable)
        assert 0 < ill.value.retry_after < float("inf")
        assert (await served.generate("red", GenerationParams(code=1))).choice.expert == "1"
        status = served.status()
        assert [status.experts[name].state for name in ("0", "1", "2")] == [
            "quarantined",
            "resident",
            "absent",
        ]

    monkeypatch.setattr(GraphEngine, "run", failing)
    serve(use)


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """A folder with two versions of a bundle, `one` and `two`, which draw differently."""
    write_bundle(tmp_path / "one")
    write_bundle(tmp_path / "two", seed=1)
    return tmp_path


def test_a_new_version_takes_over_without_a_lost_request(
    serve: Any, versions: Path, held: threading.Event
) -> None:
    async def use(served: Runtime) -> Any:
        before = [
            asyncio.create_task(served.generate("red", GenerationParams(steps=10, code=0))) for _ in range(6)
        ]
        await asyncio.sleep(0)
        await served.reload(versions / "two")
        held.set()
        after = [
            asyncio.create_task(served.generate("red", GenerationParams(steps=10, code=0))) for _ in range(6)
        ]
        images = [image.pixels.tobytes() for image in await asyncio.gather(*before, *after)]
        engines = {key.models for key in served._core.dispatcher._engines}
        assert engines == {served._core.models}  # the old ones' are gone
        return images

    images = serve(use, bundle=versions / "one")
    assert len(set(images[:6])) == len(set(images[6:])) == 1
    assert images[0] != images[6]


def test_a_bad_version_is_refused_and_the_old_one_serves_on(serve: Any, versions: Path) -> None:
    (versions / "two" / "manifest.json").write_bytes(b"{}")

    async def use(served: Runtime) -> None:
        with pytest.raises(IntegrityError):
            await served.reload(versions / "two")
        assert (await served.generate("red")).pixels.shape == (16, 16, 3)

    serve(use, bundle=versions / "one")


def test_the_place_of_the_bundle_is_read_again(serve: Any, versions: Path) -> None:
    place = versions / "served"
    shutil.copytree(versions / "one", place)

    async def use(served: Runtime) -> Any:
        first = await served.generate("red", GenerationParams(code=0))
        shutil.rmtree(place)
        shutil.copytree(versions / "two", place)
        await served.reload()
        second = await served.generate("red", GenerationParams(code=0))
        return first.pixels.tobytes() != second.pixels.tobytes()

    assert serve(use, bundle=place)


def test_status_tells_of_every_expert(serve: Any) -> None:
    async def use(served: Runtime) -> Any:
        await served.generate("red", GenerationParams(code=2, steps=4, guidance=2.0))
        return served.status()

    status = serve(use)
    assert sorted(status.experts) == ["0", "1", "2", "3", "dense"]
    two = status.experts["2"]
    assert (two.state, two.images, two.calls, two.rows) == ("resident", 1, 4, 8)
    assert two.seconds > 0
    assert status.experts["1"].state == "absent"
    assert status.last_call == ("2", 1)
    assert (status.admitted, status.finished, status.queued, status.running) == (1, 1, 0, 0)
    assert 0 < status.memory_used < status.memory_budget
    assert not status.draining


def test_a_listener_whose_loop_is_gone_cancels(bundle_path: Path, cache_path: Path) -> None:
    served = Runtime.open(bundle_path, engine="cpu", cache=cache_path)

    async def leave() -> None:
        served.stream("red", GenerationParams(steps=10))

    asyncio.run(leave())
    served._core.dispatcher.drain()
    assert served.status().running == 0
    served._core.dispatcher.close()


def test_cancelled_is_told_to_whoever_still_listens(serve: Any, held: threading.Event) -> None:
    async def use(served: Runtime) -> None:
        stream = served.stream("red", GenerationParams(steps=10))
        served._core.dispatcher.cancel(stream._ticket)
        held.set()
        with pytest.raises(Cancelled):
            async for _ in stream:
                pass

    serve(use)


def test_warm_means_that_every_expert_has_made_an_image(bundle_path: Path, cache_path: Path) -> None:
    served = Runtime.open(bundle_path, engine="cpu", cache=cache_path, warm=True)
    status = served.status()
    served._core.dispatcher.close()
    assert {expert.state for expert in status.experts.values()} == {"resident"}
    assert [expert.images for expert in status.experts.values()] == [1] * 5


def test_a_bundle_with_an_expert_that_draws_nothing_is_not_warmed(
    bundle_path: Path, cache_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = threading.active_count()
    monkeypatch.setattr(GraphEngine, "run", lambda self, sample, *_: np.full_like(sample, np.nan))
    with pytest.raises(EngineFailure, match="expert '0': the latents are not finite"):
        Runtime.open(bundle_path, engine="cpu", cache=cache_path, warm=True)
    assert threading.active_count() == before


def test_a_version_with_a_damaged_file_is_refused(serve: Any, versions: Path) -> None:
    (versions / "two/experts/3/unet/model.onnx.data").write_bytes(b"")

    async def use(served: Runtime) -> None:
        with pytest.raises(IntegrityError, match=r"experts/3/unet/model.onnx.data"):
            await served.reload(versions / "two")

    serve(use, bundle=versions / "one")


def test_a_refusal_is_decided_at_once_while_all_engines_are_held(serve: Any, held: threading.Event) -> None:
    async def use(served: Runtime) -> None:
        async with served.stream("red"), served.stream("blue"):
            for _ in range(101):
                with pytest.raises(QueueFull):
                    served.stream("red")
            assert not held.is_set()  # nobody waited for what is under way
            held.set()

    serve(use, max_running=1, max_queued=1)
