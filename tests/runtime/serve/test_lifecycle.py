"""A server's process: listening before it serves, drains, forced ends, bundles read again."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import write_bundle
from tests.runtime.serve.fake_runtime import WAIT

ROOT = Path(__file__).resolve().parents[3]
PATH = "/v1/images/generations"


class Child:
    """The process of `tests.runtime.serve.child`, with its log and what it answers."""

    def __init__(self, bundle: Path, *options: str) -> None:
        command = [sys.executable, "-m", "tests.runtime.serve.child", "--bundle", str(bundle), "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--log-format", "json", *options], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        self.port = 0

    def logged(self, event: str) -> dict[str, Any]:
        """The next line of the log that tells of `event`."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            told: dict[str, Any] = json.loads(line)
            if told["event"].startswith(event):
                return told
        raise AssertionError(f"the log ended without {event!r}")

    def listening(self) -> "Child":
        self.port = int(self.logged("listening")["url"].rpartition(":")[2])
        return self

    def serving(self) -> "Child":
        self.listening().logged("serving")
        return self

    def get(self, path: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        connection.request("GET", path)
        reply = connection.getresponse()
        found = reply.status, json.loads(reply.read())
        connection.close()
        return found

    def ask(self, prompt: str, **fields: Any) -> http.client.HTTPResponse:
        """The reply, whose head is there."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        body = json.dumps({"prompt": prompt, **fields})
        connection.request("POST", PATH, body, {"content-type": "application/json", "connection": "close"})
        return connection.getresponse()

    def waiting(self) -> http.client.HTTPResponse:
        """A stream that has started, and goes on with SIGUSR1."""
        reply = self.ask("wait", stream=True)
        while b"image_generation.started" not in reply.readline():
            pass
        return reply

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        return self.process.wait(WAIT)


Start = Callable[..., Child]


@pytest.fixture
def start(copy_path: Path) -> Iterator[Start]:
    children: list[Child] = []

    def make(*options: str, bundle: Path = copy_path) -> Child:
        children.append(Child(bundle, *options))
        return children[-1]

    yield make
    for child in children:
        child.process.kill()
        child.process.wait()
        assert child.process.stderr is not None
        child.process.stderr.close()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_an_end_finishes_what_is_under_way(start: Start, ending: int) -> None:
    child = start().serving()
    running = child.waiting()
    child.signal(ending)
    child.logged("draining")
    assert child.get("/healthz")[0] == 200
    assert child.get("/readyz") == (503, {"status": "not ready", "reasons": ["draining"]})
    refused = child.ask("a")
    assert (refused.status, int(refused.headers["retry-after"]) >= 1) == (503, True)
    child.signal(signal.SIGUSR1)
    assert b"image_generation.completed" in running.read()
    assert child.exit_code() == 0


def test_what_takes_longer_than_the_drain_is_cut_off(start: Start) -> None:
    child = start("--drain", "0.05").serving()
    running = child.waiting()
    child.signal(signal.SIGTERM)
    assert b'"code":"unavailable"' in running.read().replace(b'": "', b'":"')
    child.logged("requests were cut off")
    assert child.exit_code() == 0


def test_a_second_signal_does_not_wait(start: Start) -> None:
    child = start().serving()
    running = child.waiting()
    child.signal(signal.SIGTERM)
    child.logged("draining")
    child.signal(signal.SIGTERM)
    assert b"event: error" in running.read()
    assert child.exit_code() == 1


def test_nor_for_a_runtime_that_does_not_close(start: Start) -> None:
    child = start().serving()
    assert child.ask("stuck").status == 200
    child.signal(signal.SIGTERM)
    child.logged("draining")
    assert child.get("/healthz")[0] == 200
    child.signal(signal.SIGTERM)
    assert child.exit_code() == 1


def test_it_listens_before_the_bundle_is_open(start: Start, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    child = start("--cache", str(tmp_path / "fifo")).listening()
    assert child.get("/healthz") == (200, {"status": "alive"})
    assert child.get("/readyz") == (503, {"status": "not ready", "reasons": ["opening"]})
    assert child.ask("a").status == 503
    (tmp_path / "fifo").write_bytes(b"")
    child.logged("serving")
    assert child.get("/readyz")[0] == 200
    assert child.ask("a").status == 200


def test_an_end_waits_for_the_opening(start: Start, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    child = start("--cache", str(tmp_path / "fifo")).listening()
    child.signal(signal.SIGTERM)
    while child.get("/readyz")[1]["reasons"] == ["opening"]:
        pass
    (tmp_path / "fifo").write_bytes(b"")
    child.logged("ended")
    assert child.exit_code() == 0


def test_a_bundle_is_read_again(start: Start, copy_path: Path, tmp_path: Path) -> None:
    child = start().serving()
    first = child.get("/v1/about")[1]["bundle"]
    running = child.waiting()
    write_bundle(tmp_path / "next", seed=1)
    copy_path.rename(tmp_path / "previous")
    (tmp_path / "next").rename(copy_path)
    child.signal(signal.SIGHUP)
    second = child.logged("reloaded")["bundle"]
    assert second != first
    assert child.get("/v1/about")[1]["bundle"] == second
    child.signal(signal.SIGUSR1)
    assert b"image_generation.completed" in running.read()


def test_a_bad_bundle_is_refused_and_the_old_one_serves_on(start: Start, copy_path: Path) -> None:
    child = start().serving()
    first = child.get("/v1/about")[1]["bundle"]
    good = (copy_path / "manifest.json").read_bytes()
    (copy_path / "manifest.json").write_text("{}")
    child.signal(signal.SIGHUP)
    assert "SHA-256" in child.logged("the new bundle is refused")["event"]
    assert child.get("/v1/about")[1]["bundle"] == first
    assert child.ask("a").status == 200
    (copy_path / "manifest.json").write_bytes(good)
    child.signal(signal.SIGHUP)
    assert child.logged("reloaded")["bundle"] == first


def test_a_bundle_that_cannot_be_opened_ends_it(start: Start, copy_path: Path) -> None:
    (copy_path / "manifest.json").unlink()
    child = start().listening()
    assert "has no manifest.json" in child.logged("the bundle cannot be served")["event"]
    assert child.exit_code() == 3


def test_who_is_open_to_other_machines_is_told_so(start: Start, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct-horse-battery")
    everywhere, token = ("--host", "0.0.0.0"), ("--token-file", str(tmp_path / "token"))
    names = ("--allowed-hosts", "images.example.org")
    for options, open_to in (
        (everywhere, ("without a token (--token-file", "by any name (--allowed-hosts")),
        ((*everywhere, *token), ("by any name (--allowed-hosts",)),
        ((*everywhere, *names), ("without a token (--token-file",)),
    ):
        told = start(*options).logged("other machines may ask")
        assert told["level"] == "warning"
        assert all(words in told["event"] for words in open_to)
        assert (" and " in told["event"]) == (len(open_to) == 2)
    for options in ((), (*everywhere, *token, *names)):
        child = start(*options)
        assert child.logged("")["event"] == "listening"
        child.signal(signal.SIGTERM)


def test_a_server_on_this_machine_answers_to_its_own_names(start: Start) -> None:
    child = start("--allowed-hosts", "images.example.org").serving()
    for host, status in (("localhost", 200), ("images.example.org:80", 200), ("evil.example", 421)):
        connection = http.client.HTTPConnection("127.0.0.1", child.port, timeout=WAIT)
        connection.request("GET", "/v1/about", headers={"host": host})
        assert connection.getresponse().status == status
        connection.close()


def test_a_port_that_is_taken_is_refused(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        child = start("--port", str(taken.getsockname()[1]))
        _, told = child.process.communicate(timeout=WAIT)
    assert (child.exit_code(), "choose others" in told) == (2, True)


def test_a_log_that_nobody_reads_holds_up_nobody(start: Start) -> None:
    child = start().serving()
    path = "/" + "x" * 190
    for _ in range(300):  # lines of 300 bytes, to a pipe of 64 KiB
        assert child.get(path)[0] == 404
    assert child.get("/readyz")[0] == 200
