"""The addresses that the page knows, answered by a `Studio` over HTTP on a loopback port."""

import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

from .studio import Gone, Studio, Trouble

PAGE = Path(__file__).resolve().parents[2] / "runtime/serve/page"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
POLICY = "default-src 'self'; img-src 'self' data: blob:"


@contextmanager
def serving(studio: Studio, token: str | None = None) -> Iterator[str]:
    """The page and what it asks for, with `studio` behind it; gives the origin."""

    class Handler(_Handler):
        behind, wanted = studio, token

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        studio.release()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    behind: Studio
    wanted: str | None

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/":
            self._file("index.html")
        elif path.startswith("/page/"):
            self._file(path.removeprefix("/page/"))
        elif path in ("/v1/about", "/v1/status") and self._let_in():
            if self.behind.opened:
                self._json(200, self.behind.about if path == "/v1/about" else self.behind.status())
            else:
                error = {"message": "The bundle is being opened."}
                self._refuse(Trouble(error, 503, headers={"retry-after": "1"}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self._let_in():
            return
        trouble = self.behind.admit()
        if trouble is not None and trouble.at is None:
            self._refuse(trouble)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("x-request-id", token_hex(8))
        self.end_headers()
        try:
            self._stream(body, trouble)
        except (Gone, ConnectionError):
            self.close_connection = True

    def _stream(self, body: dict[str, Any], trouble: Trouble | None) -> None:
        for event in self.behind.draw(body, self._gone):
            if trouble is not None and event["type"] == "step" and event["done"] > (trouble.at or 0):
                if trouble.error:
                    self._event("error", {"type": "error", "error": trouble.error})
                return
            self.wfile.write(b": alive\n\n")
            name = f"image_generation.{event['type']}"
            self._event(name, {**event, "type": name})

    def _event(self, name: str, data: dict[str, Any]) -> None:
        text = json.dumps(data, ensure_ascii=False)
        self.wfile.write(f"event: {name}\ndata: {text}\n\n".encode())

    def _gone(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""
        except ConnectionError:
            return True

    def _let_in(self) -> bool:
        if self.wanted is None or self.headers["authorization"] == f"Bearer {self.wanted}":
            return True
        self._refuse(Trouble({"message": "This token is not the server's."}, 401))
        return False

    def _refuse(self, trouble: Trouble) -> None:
        self._json(trouble.status, {"error": trouble.error}, trouble.headers)

    def _json(self, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
        self._answer(status, "application/json", json.dumps(data).encode(), headers or {})

    def _file(self, name: str) -> None:
        path = PAGE / name
        if path.parent != PAGE or not path.is_file():
            self._refuse(Trouble({"message": f"There is no {name}."}, 404))
            return
        self._answer(200, TYPES[path.suffix], path.read_bytes(), {"content-security-policy": POLICY})

    def _answer(self, status: int, kind: str, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-type": kind, "x-request-id": token_hex(8)}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except ConnectionError:
            self.close_connection = True  # who asked has left

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests say what happened."""
