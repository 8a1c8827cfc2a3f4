"""Images of the whole runtime: hostile prompts, crowds, neighbours that leave, memory that runs out."""

import asyncio
import random
from typing import Any

import numpy as np
import pytest

from runtime import Runtime
from runtime.engines.engine import GraphEngine
from runtime.errors import EngineFailure, QueueFull, UsageError
from runtime.models.encoder import Encoder
from runtime.request.params import Code, GenerationParams

PROMPTS = ["red", "a blue circle", "", "large and small", "a square and a red circle"]
HOSTILE = {
    "nothing": "",
    "blanks": " \t\r\n ",
    "emoji": "\U0001f9d1\u200d\U0001f680 \U0001f600" * 20,
    "right to left": "\u202e\u05d3\u05d5\u05d2 \u0645\u0631\u0628\u0639",
    "punctuation": "!?.,;:'\"()[]{}<>|\\/@#$%^&*~`" * 100,
    "combining": "e" + "\u0301" * 5000,
    "of another plane": "\U0010ffff\ufffe\uffff",
    "as long as may be": "red " * 2500,
}
REFUSED = {"a megabyte": "a" * 2**20, "nul": "a\0b", "half a pair": "\ud83d", "bytes": b"red", "nobody": None}


def mixed(rng: random.Random) -> tuple[str, GenerationParams]:
    """A request like no other."""
    codes: list[Code | None] = [None, None, 0, 3, "dense"]
    params = GenerationParams(
        negative_prompt=rng.choice(["", "small"]),
        seed=rng.randrange(2**64),
        steps=rng.randint(1, 10),
        guidance=rng.choice([1.0, 2.5, 7.0]),
        size=rng.choice([(16, 16), (24, 8), (16, 32)]),
        solver=rng.choice(["ddim", "plms"]),
        code=rng.choice(codes),
    )
    return rng.choice(PROMPTS), params


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("count", [24, pytest.param(400, marks=pytest.mark.fault)])
def test_an_image_does_not_depend_on_its_neighbours(serve: Any, batch: int, count: int) -> None:
    """One by one, and all at once between others that are cancelled on their way: the same bytes."""
    rng = random.Random(count)
    wanted = [mixed(rng) for _ in range(count)]

    async def leave(served: Runtime, index: int) -> None:
        params = GenerationParams(seed=index, steps=10, code=index % 4)
        async with served.stream("red", params) as events:
            async for _ in events:
                if rng.random() < 0.3:
                    return

    async def use(served: Runtime) -> None:
        alone = [await served.generate(*each) for each in wanted]
        leaving = [asyncio.create_task(leave(served, index)) for index in range(count)]
        crowded = await asyncio.gather(*(served.generate(*each) for each in wanted))
        await asyncio.gather(*leaving)
        for one, other in zip(alone, crowded, strict=True):
            assert one.pixels.tobytes() == other.pixels.tobytes()
            assert one.choice == other.choice
        status = served.status()
        assert status.finished + status.cancelled == status.admitted == 3 * count
        assert status.cancelled > 0

    serve(use, batch=batch, max_running=12, max_queued=2 * count)


@pytest.mark.parametrize("name", HOSTILE)
def test_every_text_has_a_code(serve: Any, name: str) -> None:
    async def use(served: Runtime) -> Any:
        return [await served.generate(HOSTILE[name], GenerationParams(steps=1)) for _ in range(2)]

    once, again = serve(use)
    assert once.choice == again.choice
    assert once.pixels.tobytes() == again.pixels.tobytes()
    assert once.choice.code in range(4)
    assert once.choice.expert == str(once.choice.code)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_prompt_is_refused_before_anything_is_done(serve: Any, name: str) -> None:
    async def use(served: Runtime) -> None:
        with pytest.raises(UsageError):
            served.stream(REFUSED[name])
        if REFUSED[name] is not None:  # as a negative prompt, that is none
            with pytest.raises(UsageError):
                served.stream("red", GenerationParams(negative_prompt=REFUSED[name]))
        assert served.status().admitted == 0

    serve(use)


@pytest.mark.parametrize("code", [-1, 4, 2**70, 1.5, "4", "zero", True])
def test_a_code_that_there_is_not_is_refused(serve: Any, code: Any) -> None:
    async def use(served: Runtime) -> None:
        with pytest.raises(UsageError, match="code"):
            served.stream("red", GenerationParams(code=code))

    serve(use)


def test_an_embedding_that_is_no_numbers_ends_its_request(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(served: Runtime) -> None:
        encoder: Encoder = served._core.models._encoders["text"]
        run = encoder._session.run

        def spoilt(output: str, inputs: Any) -> Any:
            found = run(output, inputs)
            return np.full_like(found, np.nan) if 4 in inputs["input_ids"] else found  # "red"

        monkeypatch.setattr(encoder._session, "run", spoilt)
        spoilt_one, good = await asyncio.gather(
            served.generate("red"), served.generate("blue"), return_exceptions=True
        )
        assert isinstance(spoilt_one, EngineFailure)
        assert "not finite" in str(spoilt_one)
        assert not isinstance(good, BaseException)
        assert served.status().experts[good.choice.expert].state == "resident"

    serve(use)


def test_no_memory_for_a_call_ends_that_request_and_no_other(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, short = GraphEngine.run, iter([False, True])

    def running_out(self: GraphEngine, *inputs: Any) -> Any:
        if next(short, False):
            raise MemoryError("1.2 times what there is")
        return run(self, *inputs)

    monkeypatch.setattr(GraphEngine, "run", running_out)

    async def use(served: Runtime) -> None:
        with pytest.raises(EngineFailure, match="1.2 times what there is"):
            await served.generate("red", GenerationParams(code=1))
        again = await served.generate("red", GenerationParams(code=1))
        assert again.choice.expert == "1"
        status = served.status()
        assert (status.failed, status.finished, status.running, status.queued) == (1, 1, 0, 0)

    serve(use)


def test_engines_come_and_go_within_a_budget_that_holds_two(serve: Any) -> None:
    """Least recently used first, and the image is that of an engine which always was there."""

    async def draw(served: Runtime) -> list[bytes]:
        codes = [0, 1, 2, 3, 0, 3, 1]
        return [
            (await served.generate("red", GenerationParams(code=code))).pixels.tobytes() for code in codes
        ]

    async def tight(served: Runtime) -> tuple[list[bytes], int, int, list[str]]:
        images = await draw(served)
        status = served.status()
        there = sorted(name for name, expert in status.experts.items() if expert.state == "resident")
        return images, status.memory_used, status.memory_budget, there

    async def costs(served: Runtime) -> tuple[int, int]:
        models = served._core.models
        expert, decoder = models.bucket("0", 2, 8, 8), models.decoder_bucket(8, 8)
        return models.cost(expert), models.cost(decoder)

    expert, decoder = serve(costs)
    images, used, budget, there = serve(tight, memory=2 * expert + decoder)
    assert images == serve(draw)
    assert used <= budget
    assert there == ["1", "3"]


def test_the_very_many_are_refused_and_the_rest_served(serve: Any) -> None:
    async def use(served: Runtime) -> None:
        made, refused = [], 0
        for index in range(500):
            try:
                made.append(served.stream("red", GenerationParams(seed=index, steps=2)))
            except QueueFull:
                refused += 1
            if index % 10 == 0:
                await asyncio.sleep(0)
        for stream in made:
            assert [type(event).__name__ async for event in stream][-1] == "Finished"
        status = served.status()
        assert (status.rejected, status.finished, status.admitted) == (refused, len(made), len(made))
        assert refused + len(made) == 500
        assert refused > 0

    serve(use, max_running=2, max_queued=8)
