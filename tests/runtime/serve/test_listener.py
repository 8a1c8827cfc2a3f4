"""The socket that takes connections, where descriptors are short."""

import logging
import resource
import subprocess
import sys
from dataclasses import replace

import pytest

from runtime.serve.limits import LIMITS
from runtime.serve.listener import BACKLOG, FILES, within_descriptors
from runtime.serve.log import LOGGER
from tests.runtime.serve.fake_runtime import WAIT
from tests.runtime.serve.test_lifecycle import ROOT

# A server of nothing, in a process of its own: it is short of descriptors.
SCENE = """
import asyncio, logging, os, resource, socket
from runtime.serve.listener import listen

logging.basicConfig(format="%(message)s")

async def main():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    with listen("127.0.0.1", 0) as listener:
        server = await asyncio.start_server(serve, sock=listener)
        port = listener.getsockname()[1]
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        # Ten descriptors are left, for the server's ends of twenty connections.
        used = max(map(int, os.listdir("/proc/self/fd"))) + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 10, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        await asyncio.sleep(0.5)  # in which a server that only tries again would log each second try
        closed = 0
        for client in clients:
            client.setblocking(False)
            try:
                closed += client.recv(1) == b""
            except BlockingIOError:
                pass
            except ConnectionResetError:
                closed += 1
            client.close()
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"still here\\n")
        print(closed, (await reader.read()).decode().strip())
        writer.close()
        server.close()

asyncio.run(main())
"""


def test_without_descriptors_connections_are_refused_with_one_warning() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCENE], cwd=ROOT, capture_output=True, text=True, timeout=WAIT, check=True
    )
    closed, _, told = done.stdout.strip().partition(" ")
    assert told == "still here"
    assert int(closed) >= 5
    assert done.stderr.count("\n") == 1, done.stderr
    assert "connections are refused" in done.stderr


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch):
    """Sets what the process may open; gives what it was set to."""
    limits = [0, 0]
    monkeypatch.setattr(LOGGER, "propagate", True)
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _, found: limits.__setitem__(slice(None), found))
    return limits


WANTED = LIMITS.connections + LIMITS.reserve + BACKLOG + FILES


@pytest.mark.parametrize(
    ("soft", "hard", "then"),
    [
        (WANTED, WANTED, WANTED),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
        (256, WANTED + 1, WANTED),
        (256, resource.RLIM_INFINITY, WANTED),
    ],
)
def test_the_limit_is_raised_as_far_as_it_is_needed(
    descriptors: list[int], caplog: pytest.LogCaptureFixture, soft: int, hard: int, then: int
) -> None:
    descriptors[:] = soft, hard
    assert within_descriptors(LIMITS) == LIMITS
    assert descriptors == [then, hard]
    assert not caplog.records


@pytest.mark.parametrize("most", [20, 80, 256, WANTED - 1])
def test_where_that_is_not_enough_connections_are_fewer(
    descriptors: list[int], caplog: pytest.LogCaptureFixture, most: int
) -> None:
    descriptors[:] = most // 2, most
    with caplog.at_level(logging.WARNING):
        found = within_descriptors(LIMITS)
    assert descriptors == [most, most]
    assert 1 <= found.connections + found.reserve <= most - min(BACKLOG + FILES, most // 2)
    assert found == replace(LIMITS, connections=found.connections, reserve=found.reserve)
    assert f"{most} descriptors allow {found.connections} connections" in caplog.text
