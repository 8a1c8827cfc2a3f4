"""The real runtime behind real HTTP: too many at once, clients that leave, an engine that keeps failing."""

import http.client
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from runtime.engines.engine import GraphEngine
from runtime.errors import EngineFailure
from tests.fault.conftest import Served
from tests.runtime.serve.fake_runtime import WAIT
from tests.runtime.service.staging import eventually

PATH = "/v1/images/generations"
TYPE = {"content-type": "application/json"}
pytestmark = pytest.mark.timeout(120)


class Valve:
    """Lets the UNet's calls pass while it is open; `calls` counts those begun."""

    def __init__(self) -> None:
        self.open, self.calls = threading.Event(), 0
        self.open.set()

    def __call__(self) -> None:
        self.calls += 1
        assert self.open.wait(WAIT)


@pytest.fixture
def valve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Valve]:
    valve, run = Valve(), GraphEngine.run

    def passing(self: GraphEngine, *inputs: Any) -> Any:
        valve()
        return run(self, *inputs)

    monkeypatch.setattr(GraphEngine, "run", passing)
    yield valve
    valve.open.set()


def get(site: Served, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=WAIT)
    connection.request("GET", path)
    reply = connection.getresponse()
    found = reply.status, json.loads(reply.read())
    connection.close()
    return found


def post(site: Served, **fields: Any) -> tuple[int, Any, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=WAIT)
    connection.request("POST", PATH, json.dumps({"prompt": "red", **fields}), TYPE)
    reply = connection.getresponse()
    found = reply.status, json.loads(reply.read()), reply.headers
    connection.close()
    return found


def raw(**fields: Any) -> bytes:
    body = json.dumps({"prompt": "red", **fields}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def leave(client: socket.socket, *, reset: bool) -> None:
    """With RST, or with FIN."""
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_so_many_over_are_so_many_429s(served: Callable[..., Any], valve: Valve) -> None:
    valve.open.clear()
    with served(max_running=1, max_queued=8) as site, ExitStack() as stack:
        for _ in range(9):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", site.port), WAIT))
            client.sendall(raw(stream=True))
            assert client.recv(12) == b"HTTP/1.1 200"
        refused = [post(site) for _ in range(20)]
        assert [status for status, _, _ in refused] == [429] * 20
        assert all(int(headers["retry-after"]) >= 1 for _, _, headers in refused)
        valve.open.set()
        eventually(lambda: site.runtime.status().finished == 9)
        status = site.runtime.status()
        assert (status.admitted, status.rejected, status.running, status.queued) == (9, 20, 0, 0)
        assert post(site)[0] == 200


@pytest.mark.parametrize("count", [24, pytest.param(200, marks=pytest.mark.fault)])
def test_whoever_leaves_stops_the_engine_at_the_next_step(
    served: Callable[..., Any], valve: Valve, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    with served(max_running=1, max_queued=4) as site:
        assert post(site, steps=10, code=0)[0] == 200
        for index in range(count):
            valve.open.clear()
            before = valve.calls
            client = socket.create_connection(("127.0.0.1", site.port), WAIT)
            client.sendall(raw(stream=index % 3 == 0, steps=10, code=0))
            eventually(lambda before=before: valve.calls == before + 1)  # its first step of ten
            leave(client, reset=index % 2 == 0)
            eventually(lambda index=index: site.runtime.status().cancelled == index + 1)
            valve.open.set()
            assert post(site, steps=3, code=0)[0] == 200
            assert valve.calls == before + 1 + 3, "no step was made for who had left"
        status = site.runtime.status()
        assert (status.running, status.queued, status.failed, status.rejected) == (0, 0, 0, 0)
        assert status.admitted == status.finished + status.cancelled == 2 * count + 1
    assert "never retrieved" not in caplog.text
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_an_engine_that_fails_from_some_call_on_hurts_its_own_code(
    served: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = GraphEngine.run, dict[GraphEngine, int]()
    bad: list[GraphEngine] = []

    def failing(self: GraphEngine, *inputs: Any) -> Any:
        calls[self] = calls.get(self, 0) + 1
        if self in bad and calls[self] >= 11:
            raise EngineFailure("out of order")
        return run(self, *inputs)

    monkeypatch.setattr(GraphEngine, "run", failing)
    with served() as site:
        assert post(site, code=0, steps=5)[0] == 200
        bad.extend(calls)
        assert post(site, code=0, steps=5)[0] == 200  # calls six to ten
        outcomes = []
        for _ in range(3):
            status, told, _ = post(site, code=0, steps=5)
            outcomes.append((status, told["error"]["message"]))
            assert [post(site, code=code)[0] for code in (1, 2, 3)] == [200] * 3
        assert outcomes == [(500, "out of order")] * 3
        status, told, _ = post(site, code=0)
        assert (status, told["error"]["code"]) == (503, "code_unavailable")
        assert get(site, "/readyz") == (200, {"status": "ready", "degraded": ["0"]})
        assert [post(site, code=code)[0] for code in (1, 2, 3)] == [200] * 3
        now = site.runtime.status()
        assert (now.admitted, now.failed, now.finished) == (18, 4, 14)
        assert [now.experts[str(code)].state for code in (1, 2, 3)] == ["resident"] * 3
        (spoilt,) = bad
        assert calls[spoilt] == 13, "an expert in quarantine is not asked"
