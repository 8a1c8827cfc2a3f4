"""Images asked for at once: what the runtime is asked, what comes back, and who goes if one cannot come."""

import base64
import io
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from runtime.cli.size import Size
from runtime.errors import (
    Closed,
    CodeUnavailable,
    DeadlineExceeded,
    EngineFailure,
    Quarantined,
    QueueFull,
    UsageError,
)
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams, ResolvedParams
from runtime.serve import reply
from runtime.serve.backend_state import Upstream
from runtime.serve.limits import ClientPolicy
from runtime.serve.page import Page
from tests.runtime.serve.conftest import opened
from tests.runtime.serve.fake_runtime import AskedFor, FakeRuntime, failing, image_of

PATH = "/v1/images/generations"


def ask(client: TestClient, **fields: Any) -> Any:
    return client.post(PATH, json={"prompt": "a red circle", **fields})


def pixels(entry: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(entry["b64_json"]))))


def test_an_image_comes_with_what_made_it(client: TestClient, fake: FakeRuntime) -> None:
    reply = ask(client, seed=7)
    assert reply.status_code == 200
    assert reply.headers["x-aptp-code"] == "2"
    body = reply.json()
    assert abs(body["created"] - time.time()) < 60
    assert (body["size"], body["output_format"]) == ("16x16", "png")
    (entry,) = body["data"]
    np.testing.assert_array_equal(pixels(entry), image_of(fake, fake.asked[0]).pixels)
    assert entry["aptp"]["prompt"] == "a red circle"
    assert (entry["aptp"]["seed"], entry["aptp"]["code"], entry["aptp"]["expert"]) == (7, "2", "2")
    assert (entry["aptp"]["margin"], entry["aptp"]["milliseconds"]) == (0.25, 12.5)
    assert entry["aptp"]["share"] == 1.0  # the synthetic experts cost what dense does


def test_the_runtime_is_asked_for_just_that(client: TestClient, fake: FakeRuntime) -> None:
    said = {"seed": 3, "steps": 5, "guidance": 1.5, "negative_prompt": "blue", "solver": "plms"}
    assert ask(client, **said, size="32x16", code="dense", priority=1, deadline=9).status_code == 200
    params = ResolvedParams(
        seed=3,
        steps=5,
        guidance=1.5,
        negative_prompt="blue",
        solver="plms",
        size=Size(32, 16),
        code="dense",
    )
    assert fake.asked == [AskedFor("a red circle", params, RequestOptions(priority=1, deadline=9.0))]


def test_several_images_have_seeds_in_a_row(client: TestClient) -> None:
    entries = ask(client, n=3, seed=10).json()["data"]
    assert [entry["aptp"]["seed"] for entry in entries] == [10, 11, 12]
    assert len({entry["b64_json"] for entry in entries}) == 3


@pytest.mark.parametrize(("form", "kind"), [("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_formats(client: TestClient, form: str, kind: str) -> None:
    body = ask(client, output_format=form).json()
    assert body["output_format"] == form
    image = Image.open(io.BytesIO(base64.b64decode(body["data"][0]["b64_json"])))
    assert image.format == kind
    # Whatever a format loses, it is the picture that was made.
    made = pixels(ask(client).json()["data"][0]).astype(float)
    assert np.abs(np.asarray(image, float) - made).mean() < (0.01 if form == "png" else 60)


def test_a_png_carries_what_made_it(client: TestClient) -> None:
    (entry,) = ask(client).json()["data"]
    image = Image.open(io.BytesIO(base64.b64decode(entry["b64_json"])))
    assert json.loads(image.text["aptp"])["prompt"] == "a red circle"


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (UsageError("steps 9: no"), 400),
        (QueueFull("full", 2.5), 429),
        (CodeUnavailable("none"), 404),
        (Quarantined("none", 60.0), 503),
        (Closed("closing"), 503),
    ],
)
def test_admission_refuses(client: TestClient, fake: FakeRuntime, refusal: Exception, status: int) -> None:
    fake.refusal = refusal
    for stream in (False, True):
        reply = ask(client, stream=stream)
        assert reply.status_code == status
        assert reply.json()["error"]["message"] == str(refusal)
    if status == 429:
        assert reply.headers["retry-after"] == "3"


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"size": "1024x1024"}, 400, "size"),
        ({"solver": "eular"}, 400, "solver"),
        ({"code": 9}, 400, "code"),
        ({"model": "aptp:9"}, 404, "model"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_field_that_the_bundle_refuses_is_named(
    client: TestClient, fields: dict[str, Any], status: int, param: str, stream: bool
) -> None:
    reply = ask(client, stream=stream, **fields)
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("field", ["model", "code"])
def test_an_expert_that_the_bundle_lacks_is_not_there(
    client: TestClient, fake: FakeRuntime, field: str, stream: bool
) -> None:
    fake.refusal = CodeUnavailable("the bundle has no expert for code 'dense'")
    reply = ask(client, stream=stream, **{field: "aptp:dense" if field == "model" else "dense"})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (404, "model_not_found", field)
    assert "retry-after" not in reply.headers


def test_an_expert_in_quarantine_is_ill(client: TestClient, fake: FakeRuntime) -> None:
    fake.script = failing(Quarantined("expert '1' failed", 60.0))
    reply = ask(client, code=1)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "60")


@pytest.mark.parametrize(
    ("failure", "status"), [(EngineFailure("no numbers"), 500), (DeadlineExceeded("late"), 504)]
)
def test_a_failure_is_the_reply(
    client: TestClient, fake: FakeRuntime, failure: Exception, status: int
) -> None:
    fake.script = failing(failure)
    reply = ask(client, n=2)
    assert reply.status_code == status
    assert reply.json()["error"]["message"] == str(failure)
    assert fake.counts.running == 0


def test_all_images_are_let_in_or_none(client: TestClient, fake: FakeRuntime) -> None:
    stream = fake.stream

    def full(prompt: str, params: GenerationParams, options: RequestOptions) -> Any:
        fake.refusal = QueueFull("full", 1.0) if len(fake.asked) == 2 else None
        return stream(prompt, params, options)

    fake.stream = full  # type: ignore[method-assign]
    assert ask(client, n=3).status_code == 429
    assert (fake.counts.cancelled, fake.counts.running) == (2, 0)


def test_what_is_unforeseen_tells_an_id_and_no_more(client: TestClient, fake: FakeRuntime) -> None:
    fake.script = failing(KeyError("a secret"))
    reply = ask(client)
    assert reply.status_code == 500
    assert reply.headers["x-request-id"] in reply.json()["error"]["message"]
    assert "secret" not in reply.text


def test_the_server_has_a_deadline_for_who_names_none(
    upstream: Upstream, page: Page, fake: FakeRuntime
) -> None:
    with opened(upstream, ClientPolicy(deadline=45.0), page) as client:
        ask(client)
        ask(client, deadline=3)
    assert [asked.options.deadline for asked in fake.asked] == [45.0, 3.0]


@pytest.mark.parametrize("stream", [False, True])
def test_images_are_encoded_off_the_loop(
    client: TestClient, fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    threads: dict[str, int] = {}
    real = {name: getattr(reply, name) for name in ("encode", "encode_pixels")}

    def told(name: str) -> Callable[..., bytes]:
        def encode(*arguments: Any) -> bytes:
            threads[name] = threading.get_ident()
            return real[name](*arguments)

        return encode

    for name in real:
        monkeypatch.setattr(reply, name, told(name))
    admit = fake.stream

    def admitted(prompt: str, params: GenerationParams, options: RequestOptions) -> Any:
        threads["loop"] = threading.get_ident()
        return admit(prompt, params, options)

    fake.stream = admitted  # type: ignore[method-assign]
    assert ask(client, stream=stream, partial_images=int(stream)).status_code == 200
    loop = threads.pop("loop")
    assert set(threads) == ({"encode", "encode_pixels"} if stream else {"encode"})
    assert loop not in threads.values()
