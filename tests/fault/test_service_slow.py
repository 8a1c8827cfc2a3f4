"""Fifty clients that do not send on, and fifty that do not read their image: nobody waits for them."""

import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from runtime.bundle.reader import Bundle
from runtime.serve.app import build
from runtime.serve.backend_state import Upstream
from runtime.serve.limits import LIMITS, ClientPolicy
from runtime.serve.page import Page
from tests.runtime.serve.conftest import Site, listening
from tests.runtime.serve.fake_runtime import WAIT, FakeRuntime
from tests.runtime.serve.test_connection import PATH, asking, replace_sizes
from tests.runtime.service.staging import eventually

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]

SLOW = 50
SECONDS = 20.0  # that a client has for a body, and for what it is sent
IMAGE = "1024x1024"  # some megabytes: more than sockets buffer


@pytest.fixture
def fake(bundle_path: object) -> FakeRuntime:
    fake = FakeRuntime(Bundle.open(str(bundle_path)))
    fake.bundle = replace_sizes(fake)
    return fake


@pytest.fixture
def site(fake: FakeRuntime) -> Iterator[Site]:
    policy, upstream = (
        ClientPolicy(limits=replace(LIMITS, body=SECONDS, write=SECONDS)),
        Upstream(lambda: fake),
    )
    with listening(build(upstream, "0", policy, Page()), policy, upstream) as found:
        yield found


def latencies(site: Site) -> list[float]:
    """Seconds that a hundred small images take, one after another."""
    found = []
    for _ in range(100):
        start = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=WAIT)
        asked = json.dumps({"prompt": "", "size": "16x16"})
        connection.request("POST", PATH, asked, {"content-type": "application/json"})
        assert connection.getresponse().read()
        connection.close()
        found.append(time.perf_counter() - start)
    return found


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_nobody_waits_for_the_slow(site: Site, fake: FakeRuntime) -> None:
    latencies(site)  # whatever is allocated once
    eventually(lambda: not site.server.server_state.connections)
    before, baseline = descriptors(), latencies(site)
    with ExitStack() as stack:
        readers = [stack.enter_context(socket.socket()) for _ in range(SLOW)]
        senders = [stack.enter_context(socket.socket()) for _ in range(SLOW)]
        finished = fake.counts.finished
        for reader in readers:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", site.port))
            reader.sendall(asking(size=IMAGE))
        eventually(lambda: fake.counts.finished > finished)
        for reader in readers:  # its head is there, and the rest waits
            reader.settimeout(WAIT)
            assert reader.recv(12) == b"HTTP/1.1 200"
        for sender in senders:
            sender.connect(("127.0.0.1", site.port))
            sender.sendall(asking()[:-20])
        eventually(lambda: len(site.server.server_state.connections) == 2 * SLOW)
        meanwhile = latencies(site)
        assert len(site.server.server_state.connections) >= 2 * SLOW, "they were there all the time"
        for sender in senders:  # a byte is no excuse
            sender.sendall(b" ")
            sender.settimeout(2 * SECONDS)
            assert sender.recv(12) == b"HTTP/1.1 408"
        eventually(lambda: not site.server.server_state.connections)
    assert descriptors() <= before
    # Of a hundred, the slowest few tell how busy the machine is: before and after, so that both are in it.
    baseline += latencies(site)
    assert np.percentile(meanwhile, 95) < 2 * np.percentile(baseline, 95)
