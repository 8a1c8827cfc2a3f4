"""A server under more load than it can serve: its goodput, its refusals, and waiting times.

    python -m bench.load --bundle bundle [--seconds 60] [--factor 5]

`python -m runtime.serve` is started on a free port. One client over one kept connection tells what the server
itself costs (`bench/latency.py`). A closed loop measures its capacity: as many clients as
run and half of those that may wait, each with its next request as soon as it has its image. Then an open
loop, whose clients do not wait for each other: Poisson arrivals at `factor` times that rate, each a stream of
events with one preview. What is told of it is of the seconds after the queue has filled; every request is
accounted for. The closed loop once more tells whether the machine changed. The clients are on the same
machine, and take their share of it.

The bound on waiting is the time for as many images as may wait and run, which may all be ahead of a request,
and once more for as many as run: those that start after it may pass it where they fill a call.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from aptp.evaluate.verdicts import unseen
from bench.latency import PATH, latencies
from bench.report import save
from runtime.cli.parser import Parser, run
from runtime.errors import EnvironmentMismatch, RuntimeFailure, UsageError
from runtime.machine import process_memory
from runtime.timing.statistics import summarize

STEP, PREVIEW, COMPLETED = (f"image_generation.{name}" for name in ("step", "partial_image", "completed"))


@dataclass(slots=True)
class Reply:
    """The reply to a request that came at `came`; seconds since then to its head, first events, and end."""

    came: float
    status: int = 0
    head: float = 0.0
    events: dict[str, float] = field(default_factory=dict)  # the first of each kind
    end: float = 0.0

    @property
    def done(self) -> bool:
        """Whether its image arrived."""
        return COMPLETED in self.events


@dataclass(frozen=True, slots=True)
class Held:
    """The resources that the server's process holds: bytes in memory, and descriptors."""

    resident: int
    private: int
    descriptors: int


class Site:
    """A server's process and its client. Every request asks for an image of another prompt."""

    def __init__(self, process: int, port: int) -> None:
        self._process, self.port = process, port
        self._seeds = count()
        self._prompts = [sample.caption for sample in unseen(1024)]

    async def ask(self) -> Reply:
        """Ask for one image, as a stream."""
        reply, seed = Reply(time.perf_counter()), next(self._seeds)
        prompt = self._prompts[seed % len(self._prompts)]
        asked = {"prompt": prompt, "seed": seed, "stream": True, "partial_images": 1}
        async with self._connected("POST", PATH, json.dumps(asked).encode()) as reader:
            reply.status = await _status(reader)
            reply.head = time.perf_counter() - reply.came
            async for line in reader:
                if line.startswith(b"event: "):
                    name = line.split()[1].decode()
                    reply.events.setdefault(name, time.perf_counter() - reply.came)
        reply.end = time.perf_counter() - reply.came
        return reply

    async def counts(self) -> dict[str, int]:
        """Return what the runtime counts."""
        async with self._connected("GET", "/v1/status", b"") as reader:
            await _status(reader)
            while (await reader.readline()).strip():
                pass
            found: dict[str, int] = json.loads(await reader.read())
        return found

    def held(self) -> Held:
        """Return what the process holds now."""
        now = process_memory.read(self._process)
        if now is None:
            raise EnvironmentMismatch("this system does not tell how much memory a process holds")
        return Held(now.resident, now.private, len(os.listdir(f"/proc/{self._process}/fd")))

    @asynccontextmanager
    async def _connected(self, method: str, path: str, body: bytes) -> AsyncIterator[asyncio.StreamReader]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**22)
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        try:
            yield reader
        finally:
            writer.close()
            await writer.wait_closed()


async def _status(reader: asyncio.StreamReader) -> int:
    return int((await reader.readline()).split()[1])


@asynccontextmanager
async def serving(bundle: Path, options: list[str]) -> AsyncIterator[Site]:
    """Yield a server of the bundle, which is ended in the end."""
    command = [
        "-m",
        "runtime.serve",
        "--bundle",
        str(bundle),
        "--port",
        "0",
        "--log-format",
        "json",
        "--connections-per-address",
        "500",  # all clients have one
        *options,
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stderr=asyncio.subprocess.PIPE, limit=2**20
    )
    assert process.stderr is not None
    port, said, log = 0, "it said nothing", asyncio.create_task(asyncio.sleep(0))
    try:
        async for line in process.stderr:
            # Before its log opens, a server writes plain lines: what is wrong with its command line.
            told = json.loads(line) if line.startswith(b"{") else {"level": "error", "event": line.decode()}
            if told["level"] == "error":
                said = told["event"].strip()
            if told["event"] == "listening":
                port = int(told["url"].rpartition(":")[2])
            if told["event"] == "serving":
                break
        else:
            raise RuntimeFailure(f"the server did not start: {said}; try: python {' '.join(command)}")
        log = asyncio.create_task(_drop(process.stderr))  # a pipe that nobody reads holds up its writer
        yield Site(process.pid, port)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
        await log


async def _drop(stream: asyncio.StreamReader) -> None:
    while await stream.read(65_536):
        pass


async def closed_loop(site: Site, clients: int, seconds: float) -> list[Reply]:
    """Run so many clients, each with one request at a time, until the time is over."""
    end, replies = time.perf_counter() + seconds, list[Reply]()

    async def client() -> None:
        while time.perf_counter() < end:
            replies.append(await site.ask())

    await asyncio.gather(*(client() for _ in range(clients)))
    return replies


async def capacity(site: Site, clients: int, seconds: float) -> float:
    """Return the images a second of a closed loop, a third of whose time is for warming up."""
    start, third = time.perf_counter(), seconds / 3
    found = within(await closed_loop(site, clients, seconds), start + third, 2 * third) / (2 * third)
    if not found:
        raise UsageError(f"--closed {seconds:g}: no image was made in {2 * third:g} s; give more seconds")
    return found


async def open_loop(site: Site, rate: float, seconds: float) -> tuple[float, list[Reply]]:
    """Send requests at random, so many a second on average; return when that began, and what became
    of all.
    """
    asking: list[asyncio.Task[Reply]] = []
    start = time.perf_counter()
    for due in arrivals(rate, seconds):
        await asyncio.sleep(max(0.0, start + due - time.perf_counter()))
        asking.append(asyncio.create_task(site.ask()))
    return start, await asyncio.gather(*asking)


def arrivals(rate: float, seconds: float) -> Iterator[float]:
    """Yield the moments of a Poisson process, from 0."""
    rng, due = random.Random(0), 0.0
    while (due := due + rng.expovariate(rate)) < seconds:
        yield due


def within(replies: list[Reply], start: float, seconds: float) -> int:
    """Return the images that arrived in that time."""
    return sum(reply.done and start <= reply.came + reply.end < start + seconds for reply in replies)


async def measure(options: argparse.Namespace) -> tuple[dict[str, list[dict[str, str]]], dict[str, Any]]:
    """Return the tables, and the samples that they are made of."""
    async with serving(options.bundle, options.serve) as site:
        alone = await latencies(site.port)
        limits = await site.counts()
        running, queued = limits["max_running"], limits["max_queued"]
        clients = running + queued // 2
        first = await capacity(site, clients, options.closed)
        before, counted = site.held(), await site.counts()
        rate, bound = options.rate or options.factor * first, (running + queued) / first
        start, sent = await open_loop(site, rate, bound + options.seconds)
        after, told = site.held(), await site.counts()
        second = await capacity(site, clients, options.closed)
    mean = (first + second) / 2
    change = {name: told[name] - counted[name] for name in ("admitted", "rejected", "finished", "failed")}
    goodput = within(sent, start + bound, options.seconds) / options.seconds
    full = [reply for reply in sent if reply.came >= start + bound]
    tables = {
        "Over a kept connection, one client": alone.rows(),
        "Rates": [
            {
                "capacity before and after, a second": f"{first:.2f}, {second:.2f}",
                "clients": str(clients),
                "offered, a second": f"{len(full) / options.seconds:.2f}",
                "goodput, a second": f"{goodput:.2f}",
                "of their mean": f"{goodput / mean:.3f}",
            }
        ],
        "Requests": [accounting(sent, change)],
        "Waiting": waiting(full, (queued + 2 * running) / mean),
        "What the server's process holds": [{"": "before", **held(before)}, {"": "after", **held(after)}],
    }
    samples: dict[str, Any] = {"replies": [[r.came - start, r.status, r.head, r.events, r.end] for r in sent]}
    samples["alone"] = asdict(alone)
    return tables, {**samples, "capacity": [first, second], "limits": [running, queued], "counts": change}


def accounting(sent: list[Reply], change: dict[str, int]) -> dict[str, str]:
    """Compare what clients saw with what the server counted; stop where those differ."""
    statuses = Counter(reply.status for reply in sent)
    done = sum(reply.done for reply in sent)
    seen = {"admitted": statuses[200], "rejected": statuses[429], "finished": done, "failed": 0}
    if seen != change or statuses[200] + statuses[429] != len(sent) or done != statuses[200]:
        raise RuntimeFailure(
            f"of {len(sent)} requests clients saw {dict(statuses)} and {seen}; the server counted {change}"
        )
    return {"sent": str(len(sent)), "images": str(done), "refused (429)": str(statuses[429]), "lost": "0"}


def waiting(sent: list[Reply], bound: float) -> list[dict[str, str]]:
    """Return tables of seconds: of admitted requests to their first events and image, and of others to their
    refusal.
    """
    let_in = [reply for reply in sent if reply.status == 200]
    groups = {
        f"image (bound: {bound:.3g} s)": [reply.end for reply in let_in],
        "first step": [reply.events[STEP] for reply in let_in if STEP in reply.events],
        "first preview": [reply.events[PREVIEW] for reply in let_in if PREVIEW in reply.events],
        "refusal": [reply.head for reply in sent if reply.status == 429],
    }
    return [{"seconds to": name, **quantiles(samples)} for name, samples in groups.items()]


def quantiles(samples: list[float]) -> dict[str, str]:
    """Return quantiles as text; `-` where there are too few samples to tell."""
    if not samples:
        return dict.fromkeys(("count", "p50", "p90", "p99", "most"), "-") | {"count": "0"}
    found = summarize(samples)
    middle = {"p50": _told(found.p50), "p90": _told(found.p90), "p99": _told(found.p99)}
    return {"count": str(found.count), **middle, "most": _told(found.high)}


def _told(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.4f}"


def held(now: Held) -> dict[str, str]:
    """For a table."""
    sizes = {"resident, MB": now.resident, "private, MB": now.private}
    return {**{n: f"{size / 1e6:.1f}" for n, size in sizes.items()}, "descriptors": str(now.descriptors)}


def main() -> None:
    parser = Parser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("bundle"))
    parser.add_argument("--seconds", type=float, default=60.0, help="of the open loop")
    parser.add_argument(
        "--closed", type=float, default=60.0, help="seconds of a closed loop, a third of them to warm up"
    )
    parser.add_argument("--factor", type=float, default=5.0, help="of the capacity")
    parser.add_argument("--rate", type=float, help="requests a second, whatever the capacity")
    parser.add_argument("serve", nargs="*", help="what follows -- goes to python -m runtime.serve")
    tables, samples = asyncio.run(measure(parser.parse_args()))
    save("load", "More than a server can do", tables, samples)


if __name__ == "__main__":
    run(main)
