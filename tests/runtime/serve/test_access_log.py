"""Each request has an id and one line in the log."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from runtime.errors import EngineFailure, QueueFull
from runtime.serve.log import LOGGER, JsonLines, TextLines
from tests.runtime.serve.fake_runtime import FakeRuntime, failing

PATH = "/v1/images/generations"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(LOGGER, "propagate", True)
    caplog.set_level(logging.INFO, LOGGER.name)
    return caplog


def lines(told: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    """The facts of every request's line."""
    return [record.facts for record in told.records if record.getMessage() == "request"]  # type: ignore[attr-defined]


def test_an_id_is_made_for_each_reply(client: TestClient) -> None:
    seen = {client.get("/healthz").headers["x-request-id"] for _ in range(3)}
    assert len(seen) == 3


def test_a_plain_id_of_the_clients_is_kept(client: TestClient, told: pytest.LogCaptureFixture) -> None:
    assert client.get("/nowhere", headers={"x-request-id": "a.B-3_"}).headers["x-request-id"] == "a.B-3_"
    assert lines(told)[0]["id"] == "a.B-3_"


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", 'a"b', "\xe4"])
def test_any_other_is_not(client: TestClient, given: str) -> None:
    reply = client.get("/healthz", headers={"x-request-id": given.encode("latin-1")})
    assert len(reply.headers["x-request-id"]) == 16


def test_a_line_tells_what_became_of_a_request(client: TestClient, told: pytest.LogCaptureFixture) -> None:
    client.post(PATH, json={"prompt": "something private"})
    client.post(PATH, json={"prompt": "something private", "stream": True})
    for line in lines(told):
        assert (line["method"], line["path"], line["status"]) == ("POST", PATH, 200)
        assert (line["code"], line["expert"]) == ("2", "2")
        assert 0 <= line["queue_seconds"] + line["run_seconds"] <= line["seconds"]  # type: ignore[operator]
    assert "private" not in told.text


def test_a_failed_stream_tells_why(
    client: TestClient, fake: FakeRuntime, told: pytest.LogCaptureFixture
) -> None:
    fake.script = failing(EngineFailure("x"))
    client.post(PATH, json={"prompt": "", "stream": True})
    assert (lines(told)[0]["status"], lines(told)[0]["error"]) == (200, "engine_failure")


def test_a_mistake_is_logged_with_its_trace(
    client: TestClient, fake: FakeRuntime, told: pytest.LogCaptureFixture
) -> None:
    fake.script = failing(KeyError("a secret"))
    for stream in (False, True):
        told.clear()
        identity = client.post(PATH, json={"prompt": "", "stream": stream}).headers["x-request-id"]
        (mistake,) = [record for record in told.records if record.levelno == logging.ERROR]
        assert mistake.facts == {"id": identity}  # type: ignore[attr-defined]
        assert "a secret" in JsonLines().format(mistake)


def test_both_formats_keep_a_record_on_its_line(client: TestClient, told: pytest.LogCaptureFixture) -> None:
    client.get("/a%0Ab%1b")
    (record,) = (record for record in told.records if record.getMessage() == "request")
    assert json.loads(JsonLines().format(record))["path"] == "/a\nb\x1b"
    text = TextLines().format(record)
    assert text.isprintable()
    assert 'path="/a\\nb\\u001b"' in text
    assert "INFO request" in text


def test_a_refusal_is_decided_at_once_in_no_other_thread(
    client: TestClient, fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[str] = []
    hand_over = asyncio.to_thread

    async def noting(function: Callable[..., Any], *arguments: Any) -> Any:
        handed.append(function.__name__)
        return await hand_over(function, *arguments)

    monkeypatch.setattr(asyncio, "to_thread", noting)
    fake.refusal = QueueFull("full", 1.0)
    assert client.post(PATH, json={"prompt": "a red circle"}).status_code == 429
    assert handed == []
    fake.refusal = None
    assert client.post(PATH, json={"prompt": "a red circle"}).status_code == 200
    assert handed  # its image is encoded there: this would have been seen
