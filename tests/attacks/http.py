"""Attacks by a client of the server: raw bytes, so that no library mends them."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.attacks.attack import GotThrough, attack
from tests.bundles import write_bundle
from tests.runtime.serve.test_lifecycle import PATH, Child

WAIT = 60.0
TOKEN = "correct-horse-battery"


@contextmanager
def server(work: Path, *options: str) -> Iterator[Child]:
    """A server's process; it has to be well when the attack is over."""
    child = Child(write_bundle(work / "bundle", experts=["0"]), *options)
    try:
        child.serving()
        yield child
        if child.get("/healthz")[0] != 200:
            raise GotThrough("the server is ill")
    finally:
        child.process.kill()
        child.process.communicate()


def sent(child: Child, data: bytes) -> bytes:
    """All that the server answers before it closes."""
    with socket.create_connection(("127.0.0.1", child.port), timeout=WAIT) as client:
        told = b""
        try:
            client.sendall(data)
            while chunk := client.recv(65_536):
                told += chunk
        except OSError:  # it closed while bytes were on their way
            pass
        return told


def post(body: bytes, *headers: str, path: str = PATH) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", "connection: close", *headers]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers):
        lines.append(f"content-length: {len(body)}")
    if not any(line.lower().startswith("content-type") for line in headers):
        lines.append("content-type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + body


def held(reply: bytes, *codes: int) -> str:
    """Return how the server refused. Raises `GotThrough` for an answer that is none of `codes`."""
    line = reply.partition(b"\r\n")[0].decode("latin-1")
    if line and int(line.split()[1]) not in codes:
        raise GotThrough(line)
    return line or "the connection was closed"


@attack("asking the server", "a parser's stack")
def body_nested_without_end(work: Path) -> str:
    with server(work) as child:
        return held(sent(child, post(b"[" * 200_000)), 400)


@attack("asking the server", "memory")
def body_without_end(work: Path) -> str:
    with server(work) as child:
        return held(sent(child, post(b'{"prompt":"' + b"a" * 5_000_000, "content-length: 5000000")), 413)


@attack("asking the server", "memory")
def head_without_end(work: Path) -> str:
    with server(work) as child:
        return held(sent(child, b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"a" * 5_000_000), 400, 431)


@attack("asking the server behind a proxy", "a request that the proxy does not see")
def two_lengths_of_one_body(work: Path) -> str:
    hidden = b"GET /v1/status HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    with server(work) as child:
        reply = sent(child, post(b"{}" + hidden, "content-length: 2", "content-length: 46"))
        if b'"admitted"' in reply:
            raise GotThrough("the hidden request was answered")
        return held(reply, 400)


@attack("asking the server", "files of this machine")
def path_out_of_the_page(work: Path) -> str:
    with server(work) as child:
        paths = (
            "/page/../../../../etc/passwd",
            "/page/%2e%2e/%2e%2e/etc/passwd",
            "/page/..%2f..%2fetc/passwd",
        )
        asked = [f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n" for path in paths]
        told = [held(sent(child, each.encode()), 400, 404) for each in asked]
        return told[0]


@attack("asking the server without its token", "images")
def wrong_token(work: Path) -> str:
    (work / "token").write_text(TOKEN)
    with server(work, "--token-file", str(work / "token")) as child:
        body = json.dumps({"prompt": "a"}).encode()
        guesses = ("", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer \0")
        told = [held(sent(child, post(body, f"authorization: {guess}")), 401, 400) for guess in guesses]
        return told[0]


@attack("a page of another site, in a user's browser", "images at the user's cost")
def form_of_another_site(work: Path) -> str:
    with server(work) as child:
        body = json.dumps({"prompt": "a"}).encode()
        kinds = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
        told = [
            held(
                sent(child, post(body, f"content-type: {kind}", "origin: https://evil.example")),
                400,
                403,
                415,
            )
            for kind in kinds
        ]
        return told[0]


@attack("a name of its own, bound to this machine's address", "images, and what the server tells of itself")
def name_of_another_site(work: Path) -> str:
    with server(work) as child:
        body = json.dumps({"prompt": "a"}).encode()
        lines = ["host: evil.example", "connection: close", "content-type: application/json"]
        drawn = [f"POST {PATH} HTTP/1.1", *lines, f"content-length: {len(body)}", "", ""]
        told = ["GET /v1/status HTTP/1.1", *lines, "", ""]
        held(sent(child, "\r\n".join(told).encode()), 421)
        return held(sent(child, "\r\n".join(drawn).encode() + body), 421)
