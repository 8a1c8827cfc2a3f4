"""OpenAI's own client library against this server, over a socket: only its address is another."""

import base64
import io
from collections.abc import Iterator

import numpy as np
import openai
import pytest
from openai.types.image_gen_completed_event import ImageGenCompletedEvent
from openai.types.image_gen_partial_image_event import ImageGenPartialImageEvent
from PIL import Image

from runtime.errors import EngineFailure, QueueFull
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams
from tests.runtime.serve.conftest import Site
from tests.runtime.serve.fake_runtime import FakeRuntime, failing, image_of


@pytest.fixture
def library(site: Site) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{site.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_it_generates(library: openai.OpenAI, fake: FakeRuntime) -> None:
    reply = library.images.generate(
        model="aptp", prompt="a red circle", n=2, size="32x16", quality="standard", extra_body={"seed": 5}
    )
    assert reply.data is not None
    assert len(reply.data) == 2
    encoded = reply.data[0].b64_json
    assert encoded is not None
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    np.testing.assert_array_equal(pixels, image_of(fake, fake.asked[0]).pixels)
    assert (reply.size, reply.output_format) == ("32x16", "png")
    assert fake.asked[0].params.seed == 5


def test_its_own_fields_are_taken_and_those_of_diffusers(library: openai.OpenAI, fake: FakeRuntime) -> None:
    library.images.generate(
        prompt="x",
        background="opaque",
        moderation="low",
        output_compression=50,
        quality="hd",
        response_format="b64_json",
        style="vivid",
        user="somebody",
        extra_body={"num_inference_steps": 3, "guidance_scale": 1.5, "seed": -1},
    )
    assert (fake.asked[0].params.steps, fake.asked[0].params.guidance) == (3, 1.5)


def test_it_streams(library: openai.OpenAI) -> None:
    with library.images.generate(
        model="aptp", prompt="a red circle", stream=True, partial_images=2
    ) as stream:
        events = {kind: [] for kind in ("partial_image", "completed")}
        for event in stream:
            events.setdefault(event.type.removeprefix("image_generation."), []).append(event)
    assert len(events["step"]) == 3
    first, second = events["partial_image"]
    for event in (first, second):
        # What the library types, checked: it constructs its types without looking.
        ImageGenPartialImageEvent.model_validate(event.model_dump())
    assert (first.partial_image_index, second.partial_image_index) == (0, 1)
    (completed,) = events["completed"]
    ImageGenCompletedEvent.model_validate(completed.model_dump())
    assert Image.open(io.BytesIO(base64.b64decode(completed.b64_json))).size == (16, 16)


def test_it_lists_models(library: openai.OpenAI) -> None:
    assert [model.id for model in library.models.list()][:2] == ["aptp", "aptp:0"]
    assert library.models.retrieve("aptp:dense").owned_by == "aptp"


def test_its_errors_are_those_of_the_status(library: openai.OpenAI, fake: FakeRuntime) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        library.images.generate(prompt="x", size="1024x1024")
    assert bad.value.code == "invalid_value"
    assert bad.value.param == "size"
    with pytest.raises(openai.NotFoundError):
        library.models.retrieve("dall-e-3")
    with pytest.raises(openai.NotFoundError):
        library.images.generate(prompt="x", model="dall-e-3")
    fake.refusal = QueueFull("full", 2.0)
    with pytest.raises(openai.RateLimitError) as full:
        library.images.generate(prompt="x")
    assert (full.value.code, full.value.response.headers["retry-after"]) == ("queue_full", "2")
    fake.refusal = None
    fake.script = failing(EngineFailure("no numbers"))
    with pytest.raises(openai.InternalServerError):
        library.images.generate(prompt="x")
    with (
        library.images.generate(prompt="x", stream=True) as stream,
        pytest.raises(openai.APIError, match="no numbers"),
    ):
        list(stream)


def test_it_tries_again_when_it_is_told_to(library: openai.OpenAI, fake: FakeRuntime) -> None:
    refusals = [QueueFull("full", 0.1)]
    stream = fake.stream

    def once_full(prompt: str, params: GenerationParams, options: RequestOptions):
        fake.refusal = refusals.pop() if refusals else None
        return stream(prompt, params, options)

    fake.stream = once_full  # type: ignore[method-assign]
    reply = library.with_options(max_retries=1).images.generate(prompt="x")
    assert reply.data is not None
    assert (fake.counts.rejected, fake.counts.finished) == (1, 1)
