"""Good requests between bad ones: the good ones are answered, and of the bad ones nothing is kept.

The bad ones are made by a seeded generator; thousands of them are for `make fault`.
"""

import json
import os
import random
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.runtime.serve.fake_runtime import WAIT
from tests.runtime.serve.test_lifecycle import PATH, Child

FEW, MANY = 200, 10_000


@pytest.fixture
def child(bundle_path: Path) -> Iterator[Child]:
    found = Child(bundle_path)
    yield found.serving()
    found.process.kill()
    found.process.communicate()


def request(body: bytes, length: bytes | None = None) -> bytes:
    """A request for images; `length` is what it says of its body's, by default the truth."""
    head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n".encode()
    return head + b"content-length: %b\r\n\r\n" % (length or b"%d" % len(body)) + body


GOOD = request(b'{"prompt": "a red circle", "seed": 5}')
FIELDS = ("prompt", "n", "size", "steps", "seed", "guidance", "code", "model", "deadline", "sede")
VALUES = (None, True, 1e308, -1, 2**70, "x" * 11_000, "\0", [], {}, "1e400")
BODIES = (b"", b"\xff\xfe", b"[" * 50_000, b'{"a":' * 20_000, b'{"prompt": NaN}', b"9" * 9_000)
LENGTHS = (b"-1", b"1e9", b"99999999999999999999", b"0x10", b" ", b"1, 2")
CHUNKS = (b"1\r\n{\r\n" * 500, b"ffffffffff\r\n", b"-1\r\n", b"1\r\n{}\r\n0\r\n\r\n")
PATHS = (
    "/../../etc/passwd",
    "/page/../../app.py",
    "/page/%2e%2e/app.py",
    "//",
    "/%00",
    "/v1/models/" + "a" * 5000,
)
METHODS = ("DELETE", "PUT", "TRACE", "get", "FOO", "POST")


def flipped(rng: random.Random) -> bytes:
    data = bytearray(GOOD)
    for _ in range(rng.randint(1, 5)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def wrong_value(rng: random.Random) -> bytes:
    return request(json.dumps({"prompt": "a", rng.choice(FIELDS): rng.choice(VALUES)}).encode())


def wrong_chunks(rng: random.Random) -> bytes:
    return request(b"").replace(b"content-length: 0", b"transfer-encoding: chunked") + rng.choice(CHUNKS)


def wrong_method(rng: random.Random) -> bytes:
    method, path = rng.choice(METHODS), rng.choice(["/healthz", PATH, "*"])
    return f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


Kind = Callable[[random.Random], bytes]

COMPLETE: tuple[Kind, ...] = (  # there is a reply to each of these
    wrong_value,
    wrong_method,
    lambda rng: request(rng.choice(BODIES)),
    lambda rng: f"GET {rng.choice(PATHS)} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode(),
)
BROKEN: tuple[Kind, ...] = (  # the server may wait for more of these: their client leaves
    flipped,
    wrong_chunks,
    lambda rng: rng.randbytes(rng.randint(1, 300)),
    lambda rng: request(b"{}", rng.choice(LENGTHS)),
    lambda rng: GOOD[: rng.randrange(len(GOOD))],
)


def answer(port: int, sent: bytes, *, leave: bool) -> bytes:
    """The head's first line, or nothing where the server just closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as client:
        try:
            client.sendall(sent)
            if leave:
                client.shutdown(socket.SHUT_WR)
            return client.recv(65_536).partition(b"\r\n")[0]
        except OSError:
            return b""


def descriptors(process: int) -> int:
    return len(os.listdir(f"/proc/{process}/fd"))


def resident(process: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "count", [FEW, pytest.param(MANY, marks=[pytest.mark.fault, pytest.mark.timeout(900)])]
)
def test_malformed_requests_cost_nothing(child: Child, count: int) -> None:
    rng = random.Random(count)
    for kind in (*COMPLETE, *BROKEN) * 10:  # whatever is allocated once
        answer(child.port, kind(rng), leave=True)
    assert child.ask("a").status == 200
    before, memory = descriptors(child.process.pid), resident(child.process.pid)
    for index in range(count):
        leave = index % 2 == 0
        sent = rng.choice(BROKEN if leave else COMPLETE)(rng)
        line = answer(child.port, sent, leave=leave)
        assert line.startswith(b"HTTP/1.1 ") or leave, sent[:500]
        assert not line.startswith(b"HTTP/1.1 5"), (line, sent[:500])
        if index % 50 == 0:
            assert child.ask("a").status == 200
    assert child.process.poll() is None
    assert child.ask("a").status == 200
    child.get("/healthz")
    assert descriptors(child.process.pid) <= before + 2  # connections whose ends are on their way
    assert resident(child.process.pid) - memory < 20e6


@pytest.mark.parametrize("count", [20, pytest.param(MANY // 50, marks=pytest.mark.fault)])
def test_whoever_leaves_leaves_nothing_behind(child: Child, count: int) -> None:
    before = descriptors(child.process.pid)
    for index in range(count):
        body = json.dumps({"prompt": "wait", "stream": index % 3 == 0}).encode()
        with socket.create_connection(("127.0.0.1", child.port), timeout=WAIT) as client:
            client.sendall(request(body))
            while child.get("/v1/status")[1]["admitted"] <= index:
                pass
            if index % 2:  # RST instead of FIN
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    while (status := child.get("/v1/status")[1])["running"]:
        pass
    assert (status["admitted"], status["cancelled"], status["finished"]) == (count, count, 0)
    assert descriptors(child.process.pid) <= before + 2
    child.signal(signal.SIGTERM)
    _, told = child.process.communicate(timeout=WAIT)
    assert child.exit_code() == 0
    assert not [line for line in told.splitlines() if json.loads(line)["level"] in ("warning", "error")]


@pytest.mark.parametrize(
    "count", [40, pytest.param(MANY // 10, marks=[pytest.mark.fault, pytest.mark.timeout(900)])]
)
def test_good_requests_notice_nothing_of_bad_ones(child: Child, count: int) -> None:
    """Malformed requests, slow clients, leavers and reloads, all at once, while good requests are made."""
    expected = json.loads(child.ask("a", seed=5).read())["data"][0]["b64_json"]
    done = threading.Event()

    def repeat(misbehave: Callable[[random.Random], object], seed: int) -> None:
        rng = random.Random(seed)
        while not done.is_set():
            misbehave(rng)

    def leave(rng: random.Random) -> None:
        answer(child.port, request(b'{"prompt": "wait", "stream": true}'), leave=True)

    def dawdle(rng: random.Random) -> None:
        with socket.create_connection(("127.0.0.1", child.port), timeout=WAIT) as client:
            for byte in GOOD[: rng.randrange(20)]:
                client.sendall(bytes([byte]))
            client.shutdown(socket.SHUT_WR)
            client.recv(1)  # nobody can be kept from opening connections faster than they can be taken

    misdeeds = (
        lambda rng: answer(child.port, rng.choice(BROKEN)(rng), leave=True),
        lambda rng: answer(child.port, rng.choice(COMPLETE)(rng), leave=False),
        leave,
        dawdle,
    )
    threads = [threading.Thread(target=repeat, args=[each, seed]) for seed, each in enumerate(misdeeds)]
    for thread in threads:
        thread.start()
    try:
        for index in range(count):
            if index % 5 == 0:
                child.signal(signal.SIGHUP)
            reply = child.ask("a", seed=5)
            assert reply.status == 200
            assert json.loads(reply.read())["data"][0]["b64_json"] == expected
    finally:
        done.set()
        for thread in threads:
            thread.join(WAIT)
    while (status := child.get("/v1/status")[1])["running"]:
        pass
    assert status["admitted"] == status["finished"] + status["cancelled"]
    assert status["failed"] == 0
