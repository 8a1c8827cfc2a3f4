"""The client: what it sends as a body, and what becomes of work when it goes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.testclient import TestClient
from starlette.types import Message

from runtime.serve.client import read_json, while_connected
from runtime.serve.limits import LIMITS
from runtime.serve.problem import Problem

PATH = "/v1/images/generations"


def request(*chunks: bytes) -> Request:
    """A request whose client sends these, and then nothing, not even an end."""
    waiting = list(chunks)

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": waiting.pop(0), "more_body": True}

    headers = [(b"content-type", b"application/json; charset=utf-8")]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
def test_a_body_that_is_not_said_to_be_json_is_refused(client: TestClient, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    reply = client.post(PATH, content=b'{"prompt": ""}', headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("coding", "status"),
    [("gzip", 415), ("br", 415), ("gzip, identity", 415), ("identity", 200), ("Identity", 200), ("", 200)],
)
def test_a_body_that_is_compressed_is_refused_by_name(client: TestClient, coding: str, status: int) -> None:
    headers = {"content-type": "application/json", "content-encoding": coding}
    reply = client.post(PATH, content=b'{"prompt": ""}', headers=headers)
    assert reply.status_code == status
    if status == 415:
        error = reply.json()["error"]
        assert (error["code"], coding in error["message"]) == ("unsupported_encoding", True)


def test_a_body_too_large_is_refused(client: TestClient) -> None:
    body = b'{"prompt": "' + b"x" * LIMITS.body_bytes + b'"}'
    reply = client.post(PATH, content=body, headers={"content-type": "application/json"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")


def test_a_body_without_end_is_not_read_to_its_end() -> None:
    limits = replace(LIMITS, body_bytes=4, discarded_bytes=8)
    with pytest.raises(Problem, match="larger than 4 bytes"):
        asyncio.run(read_json(request(b"xxxx", b"xxxx", b"x"), limits))


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    with pytest.raises(Problem, match=r"in 0.01 s") as late:
        asyncio.run(read_json(request(b"{"), replace(LIMITS, body=0.01)))
    assert late.value.status == 408


def test_work_is_cancelled_when_the_client_goes() -> None:
    async def scene() -> list[str]:
        told: list[str] = []
        started = asyncio.Event()

        async def work() -> None:
            try:
                started.set()
                await asyncio.Event().wait()
            finally:
                told.append("cancelled")

        async def receive() -> Message:
            await started.wait()
            return {"type": "http.disconnect"}

        with pytest.raises(ClientDisconnect):
            await while_connected(receive, work())
        return told

    assert asyncio.run(scene()) == ["cancelled"]


def test_work_is_done_while_the_client_stays() -> None:
    async def body() -> AsyncIterator[Message]:
        yield {"type": "http.request", "body": b"late", "more_body": False}
        await asyncio.Event().wait()

    async def work() -> int:
        await asyncio.sleep(0)
        return 5

    async def scene() -> int:
        messages = body()
        return await while_connected(messages.__anext__, work())

    assert asyncio.run(scene()) == 5


def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise KeyError("x")

    async def receive() -> Message:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async def scene() -> None:
        await while_connected(receive, work())

    with pytest.raises(KeyError):
        asyncio.run(scene())
