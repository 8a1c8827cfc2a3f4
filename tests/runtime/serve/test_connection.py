"""Clients on real sockets: those who leave, those who are slow, and those who do not speak HTTP."""

import http.client
import json
import re
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

import pytest

from runtime.serve.connection import Connection
from runtime.serve.limits import LIMITS, ClientPolicy
from runtime.serve.probes import PROBES
from tests.runtime.serve.conftest import Site
from tests.runtime.serve.fake_runtime import WAIT, FakeRuntime, draw_at_gate

Listen = Callable[[ClientPolicy], AbstractContextManager[Site]]

PATH = "/v1/images/generations"
GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"


@contextmanager
def connected(site: Site):
    with socket.create_connection(("127.0.0.1", site.port), timeout=WAIT) as client:
        yield client


def post(body: bytes) -> bytes:
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def asking(**fields: object) -> bytes:
    return post(json.dumps({"prompt": "", **fields}).encode())


def everything(client: socket.socket) -> bytes:
    """Receive until the server ends the connection."""
    received = b""
    try:
        while chunk := client.recv(65_536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def one_reply(client: socket.socket) -> bytes:
    """Receive one reply, on a connection that is kept."""
    reply = b""
    while b"\r\n\r\n" not in reply:
        reply += client.recv(65_536)
    head, _, body = reply.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    while len(body) < int(length[1]):
        body += client.recv(65_536)
    return head + b"\r\n\r\n" + body


def resting(site: Site) -> Connection:
    """Wait until the server's one connection is idle: its reply is there a moment before."""
    (connection,) = site.server.server_state.connections
    while connection.timeout_keep_alive_task is None:
        pass
    return connection


def taken(site: Site, count: int) -> None:
    """Wait until the server has taken so many connections."""
    while len(site.server.server_state.connections) < count:
        pass


def is_served(site: Site) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=WAIT)
    connection.request("GET", "/healthz")
    status = connection.getresponse().status
    connection.close()
    return status == 200


def limited(**limits: float) -> ClientPolicy:
    return ClientPolicy(limits=replace(LIMITS, **limits))  # type: ignore[arg-type]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_whoever_leaves_has_cancelled(site: Site, fake: FakeRuntime, stream: bool, reset: bool) -> None:
    fake.script = draw_at_gate
    with connected(site) as client:
        client.sendall(asking(stream=stream))
        assert fake.gate.reached.wait(WAIT)
        assert fake.counts.running == 1
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert fake.cancelled.wait(WAIT)
    assert (fake.counts.running, fake.counts.cancelled) == (0, 1)
    assert is_served(site)


def test_whoever_leaves_takes_nobody_along(site: Site, fake: FakeRuntime) -> None:
    fake.script = draw_at_gate
    with connected(site) as stays:
        stays.sendall(asking(stream=True))
        assert fake.gate.reached.wait(WAIT)
        with connected(site) as leaves:
            leaves.sendall(asking(stream=True))
            assert leaves.recv(15) == b"HTTP/1.1 200 OK"
        assert fake.cancelled.wait(WAIT)
        fake.gate.open()
        received = b""
        while b"image_generation.completed" not in received:
            received += stays.recv(65_536)
    assert (fake.counts.finished, fake.counts.cancelled) == (1, 1)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nho"])
def test_a_head_that_does_not_come_is_not_waited_for(listen_with: Listen, sent: bytes) -> None:
    with listen_with(limited(head=0.05)) as site, connected(site) as client:
        client.sendall(sent)
        assert everything(client).startswith(b"HTTP/1.1 408 ")
        assert is_served(site)


def test_nor_that_of_a_second_request(listen_with: Listen) -> None:
    with listen_with(limited(head=0.05)) as site, connected(site) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        client.sendall(b"GET /healthz HT")
        assert b"HTTP/1.1 408 " in everything(client)


def test_a_body_that_does_not_come_is_not_waited_for(listen_with: Listen) -> None:
    with listen_with(limited(body=0.05)) as site, connected(site) as client:
        client.sendall(asking()[:-5])
        reply = everything(client)
        assert reply.startswith(b"HTTP/1.1 408 ")
        assert b"body_timeout" in reply


def test_a_body_too_large_is_answered(site: Site) -> None:
    with connected(site) as client:
        client.sendall(post(b" " * (LIMITS.body_bytes + 1)))
        assert client.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_nobody_reads_ends_the_connection(listen_with: Listen) -> None:
    with listen_with(limited(idle=10 * WAIT)) as site, connected(site) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        assert everything(client).startswith(b"HTTP/1.1 200 ")


def test_a_reader_that_does_not_read_is_cut_off(
    listen_with: Listen, fake: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = "1024x1024"  # some megabytes: more than sockets buffer
    fake.bundle = replace_sizes(fake)
    lost = threading.Event()
    lose = Connection.connection_lost

    def tell(self: Connection, error: Exception | None) -> None:
        lose(self, error)
        lost.set()

    monkeypatch.setattr(Connection, "connection_lost", tell)
    with listen_with(limited(write=0.1)) as site:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(WAIT)
            client.connect(("127.0.0.1", site.port))
            client.sendall(asking(size=image))
            assert lost.wait(WAIT)
            assert not site.server.server_state.connections
        assert is_served(site)


def test_a_reader_that_reads_has_its_image(listen_with: Listen, fake: FakeRuntime) -> None:
    fake.bundle = replace_sizes(fake)
    with listen_with(limited(write=5)) as site, connected(site) as client:
        client.sendall(asking(size="1024x1024").replace(b"host: x\r\n", b"host: x\r\nconnection: close\r\n"))
        head, _, body = everything(client).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert json.loads(body)["size"] == "1024x1024"


def replace_sizes(fake: FakeRuntime):
    """The fake's bundle, which takes large images."""

    class Large:
        digest = fake.bundle.digest
        manifest = replace(fake.bundle.manifest, latent=replace(fake.bundle.manifest.latent, maximum=4096))

    return Large()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\xff\xfe\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no host
        b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx\x00: y\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".encode(),
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        "transfer-encoding: chunked\r\n\r\n1\r\n{\r\nzz\r\n".encode(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET http://example.org/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v1/about HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\x00",
    ],
)
def test_what_is_no_http_gets_a_client_error_at_most(site: Site, sent: bytes) -> None:
    with connected(site) as client:
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server did not wait for all of it
        reply = everything(client)
    assert reply == b"" or reply.startswith((b"HTTP/1.1 4", b"HTTP/1.1 200 "))
    assert reply.startswith(b"HTTP/1.1 200 ") == (b"websocket" in sent and reply != b"")
    assert is_served(site)


def test_small_replies_do_not_wait_for_acknowledgements(site: Site) -> None:
    with connected(site) as client:
        client.sendall(GET)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        (connection,) = site.server.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


@pytest.mark.parametrize("limit", ["connections", "per_address"])
def test_more_connections_than_allowed_are_refused_but_probes_are_not(
    listen_with: Listen, limit: str
) -> None:
    with listen_with(limited(**{limit: 1})) as site, connected(site) as busy:
        busy.sendall(asking()[:-5])  # the rest of its body is to come
        taken(site, 1)
        with connected(site) as second:
            second.sendall(asking())
            reply = everything(second)
        assert reply.startswith(b"HTTP/1.1 503 ")
        assert b"too many connections" in reply
        assert b"\r\nretry-after: " in reply
        for path in PROBES:
            with connected(site) as probe:
                probe.sendall(GET.replace(b"/healthz", path.encode()))
                reply = everything(probe)  # to the end: a connection in reserve is for one request
            assert reply.startswith(b"HTTP/1.1 200 ")
            assert b"\r\nconnection: close\r\n" in reply


def test_a_connection_in_reserve_has_to_ask_soon(listen_with: Listen) -> None:
    with listen_with(limited(connections=1, probe=0.05, head=10 * WAIT)) as site, connected(site):
        taken(site, 1)
        with connected(site) as second:
            assert everything(second).startswith(b"HTTP/1.1 503 ")


def test_a_probe_is_answered_whoever_sits_in_the_reserve(listen_with: Listen) -> None:
    with listen_with(limited(connections=1, reserve=2, probe=10 * WAIT)) as site, ExitStack() as stack:
        silent = [stack.enter_context(connected(site)) for _ in range(4)]
        taken(site, 3)
        assert is_served(site)
        assert everything(silent[1]) == b""  # the oldest of the reserve: the first has the one place


def test_an_idle_connection_gives_way(listen_with: Listen) -> None:
    with listen_with(limited(connections=1)) as site, connected(site) as idle:
        idle.sendall(GET)
        assert one_reply(idle).startswith(b"HTTP/1.1 200 ")
        resting(site)
        with connected(site) as second:
            second.sendall(asking())
            assert second.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert everything(idle) == b""


def test_an_idle_connection_is_kept_as_long_as_the_operator_says(listen_with: Listen) -> None:
    for idle in (1, 10 * WAIT):
        with listen_with(limited(idle=idle)) as site, connected(site) as client:
            client.sendall(GET)
            assert one_reply(client).startswith(b"HTTP/1.1 200 ")
            connection = resting(site)
            timer = connection.timeout_keep_alive_task
            assert timer is not None
            assert timer.when() - connection.loop.time() <= idle
            if idle == 1:
                assert everything(client) == b""
            else:
                assert timer.when() - connection.loop.time() > WAIT


def test_a_client_may_offer_another_protocol(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    with connected(site) as client:
        for _ in range(2):  # HTTP/1.1 goes on, on the same connection
            client.sendall(asking().replace(b"host: x\r\n", b"host: x\r\n" + offer))
            assert one_reply(client).startswith(b"HTTP/1.1 200 ")
    assert not caplog.records


def test_a_body_has_one_length(site: Site) -> None:
    for path in (PATH, "/healthz"):
        with connected(site) as client:
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            client.sendall(f"{head}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n".encode())
            client.sendall(b"0\r\n\r\nGET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
            reply = everything(client)
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert reply.count(b"HTTP/1.1 ") == 1  # what follows is not read as another request


def test_slow_clients_go_and_others_do_not_wait_for_them(listen_with: Listen) -> None:
    with listen_with(limited(head=0.3, body=0.3)) as site, ExitStack() as stack:
        slow = [stack.enter_context(connected(site)) for _ in range(50)]
        for index, client in enumerate(slow):
            client.sendall(asking()[:-5] if index % 2 else b"POST /")
        with connected(site) as good:
            good.sendall(asking())
            assert good.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert all(everything(client).startswith(b"HTTP/1.1 408 ") for client in slow)
        assert len(site.server.server_state.connections) <= 1  # the good one may be on its way
