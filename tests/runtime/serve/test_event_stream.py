"""A request told while it is made: which events come, and what ends them."""

import base64
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from runtime.errors import EngineFailure
from runtime.serve.backend_state import Upstream
from runtime.serve.limits import LIMITS, ClientPolicy
from runtime.serve.page import Page
from tests.runtime.serve.conftest import opened
from tests.runtime.serve.fake_runtime import FakeRuntime, draw_at_gate, failing, image_of

PATH = "/v1/images/generations"


def events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Each event's data, whose type has to be the event's own."""
    kind = ""
    for line in lines:
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = json.loads(line.removeprefix("data: "))
            assert data["type"] == kind
            yield data


def stream(client: TestClient, **fields: Any) -> list[dict[str, Any]]:
    with client.stream("POST", PATH, json={"prompt": "a red circle", "stream": True, **fields}) as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        return list(events(reply.iter_lines()))


def image(event: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(event["b64_json"]))))


def test_everything_is_told_in_order(client: TestClient, fake: FakeRuntime) -> None:
    told = stream(client, seed=4)
    assert [event["type"].removeprefix("image_generation.") for event in told] == [
        *("queued", "started", "step", "step", "step", "completed")
    ]
    queued, started, *steps, completed = told
    assert queued["ahead"] == 0
    assert started == {
        "type": "image_generation.started",
        "expert": "2",
        "code": "2",
        "margin": 0.25,
        "share": 1.0,
        "fell_back": False,
        "out_of_distribution": False,
    }
    assert [(step["done"], step["total"]) for step in steps] == [(1, 3), (2, 3), (3, 3)]
    np.testing.assert_array_equal(image(completed), image_of(fake, fake.asked[0]).pixels)
    assert (completed["size"], completed["output_format"]) == ("16x16", "png")
    assert completed["aptp"]["seed"] == 4


def test_previews_come_after_their_steps(client: TestClient, fake: FakeRuntime) -> None:
    told = stream(client, partial_images=2, size="16x8")
    assert fake.asked[0].options.previews == 2
    kinds = [event["type"].removeprefix("image_generation.") for event in told]
    assert kinds[2:7] == ["step", "partial_image", "step", "partial_image", "step"]
    previews = [event for event in told if event["type"].endswith("partial_image")]
    assert [event["partial_image_index"] for event in previews] == [0, 1]
    assert [(event["done"], event["total"], event["size"]) for event in previews] == [
        (1, 3, "16x8"),
        (2, 3, "16x8"),
    ]
    assert [image(event)[0, 0, 0] for event in previews] == [80, 160]


def test_more_previews_than_steps_are_refused(client: TestClient) -> None:
    reply = client.post(PATH, json={"prompt": "", "stream": True, "steps": 3, "partial_images": 4})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "partial_images")


def test_a_failure_is_the_last_event(client: TestClient, fake: FakeRuntime) -> None:
    fake.script = failing(EngineFailure("no numbers"))
    *_, last = stream(client)
    error = {"message": "no numbers", "type": "server_error", "param": None, "code": "engine_failure"}
    assert last == {"type": "error", "error": error}
    assert fake.counts.failed == 1


def test_what_is_unforeseen_ends_the_stream_as_well(client: TestClient, fake: FakeRuntime) -> None:
    fake.script = failing(KeyError("a secret"))
    *_, last = stream(client)
    assert last["error"]["code"] == "internal_error"
    assert "secret" not in json.dumps(last)
    assert fake.counts.cancelled == 1


def test_silence_is_broken_by_a_comment(upstream: Upstream, page: Page, fake: FakeRuntime) -> None:
    fake.script = draw_at_gate
    policy = ClientPolicy(limits=replace(LIMITS, beat=0.01))
    with (
        opened(upstream, policy, page) as client,
        client.stream("POST", PATH, json={"prompt": "", "stream": True}) as reply,
    ):
        lines = reply.iter_lines()
        assert next(line for line in lines if line.startswith(":")) == ": alive"
        fake.gate.open()
        assert [event["type"] for event in events(lines)] == ["image_generation.completed"]
