"""The server's own part of a request's time: one client, one kept connection, an idle server.

A reply that waits for the acknowledgement of its first half takes 40 ms more. It does so on kept connections
alone, because the first replies of a connection are acknowledged at once.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from runtime.timing.statistics import summarize

PATH = "/v1/images/generations"
WARM = 20  # requests, in which a connection uses up its quick acknowledgements
PROBES, IMAGES = 500, 100


@dataclass(frozen=True, slots=True)
class Latencies:
    """Samples in seconds. `engine`: the work that the server's reply tells of, for each of `images`."""

    probes: list[float]
    images: list[float]
    engine: list[float]

    def rows(self) -> list[dict[str, str]]:
        """Return the table, in milliseconds."""
        rest = [whole - engine for whole, engine in zip(self.images, self.engine, strict=True)]
        groups = {
            "/healthz": self.probes,
            "an image of one step": self.images,
            "of it, the engines": self.engine,
            "of it, all else": rest,
        }
        return [{"milliseconds of": name, **_quantiles(samples)} for name, samples in groups.items()]


class KeptConnection:
    """A connection whose requests follow each other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[float, bytes]:
        """Return the seconds until the whole reply was there, and its body."""
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        start = time.perf_counter()
        self._writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
        reply = await self._reader.readexactly(length)
        seconds = time.perf_counter() - start
        if b" 200 " not in lines[0]:
            raise SystemExit(f"{method} {path}: {lines[0].decode()}: {reply[:200]!r}")
        return seconds, reply


@asynccontextmanager
async def kept(port: int) -> AsyncIterator[KeptConnection]:
    """Connect to a server on this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    try:
        yield KeptConnection(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


async def latencies(port: int, probes: int = PROBES, images: int = IMAGES) -> Latencies:
    """Ask for the state of health, and then for images of one step of one prompt."""
    found = Latencies([], [], [])
    wish = json.dumps({"prompt": "a red circle", "steps": 1}).encode()
    async with kept(port) as connection:
        for _ in range(WARM + probes):
            found.probes.append((await connection.ask("GET", "/healthz"))[0])
        for _ in range(WARM + images):
            seconds, reply = await connection.ask("POST", PATH, wish)
            found.images.append(seconds)
            found.engine.append(json.loads(reply)["data"][0]["aptp"]["milliseconds"] / 1e3)
    return Latencies(found.probes[WARM:], found.images[WARM:], found.engine[WARM:])


def _quantiles(samples: list[float]) -> dict[str, str]:
    found = summarize(samples)
    values = {"p50": found.p50, "p90": found.p90, "p99": found.p99, "most": found.high}
    return {name: "-" if value is None else f"{value * 1e3:.3f}" for name, value in values.items()}
