"""The server's process: what a killed one leaves, how it ends while it works, what it keeps over time."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fault.slow_server import SECONDS
from tests.runtime.serve.fake_runtime import WAIT
from tests.runtime.serve.test_hostile import descriptors, resident
from tests.runtime.serve.test_lifecycle import ROOT, Child


class Slow(Child):
    """The process of `tests.fault.slow_server`."""

    def __init__(self, bundle: Path, cache: Path, *options: str) -> None:
        command = [sys.executable, "-m", "tests.fault.slow_server", "--bundle", bundle, "--cache", cache]
        fixed = ["--port", "0", "--cold", "--engine", "cpu", "--threads", "1", "--log-format", "json"]
        command += [*fixed, *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self.port = 0

    def status(self) -> Any:
        return self.get("/v1/status")[1]

    def stop(self) -> str:
        """End it; gives what is left of its log."""
        self.process.send_signal(signal.SIGTERM)
        _, told = self.process.communicate(timeout=WAIT)
        assert self.exit_code() == 0
        return told


Start = Callable[..., Slow]


@pytest.fixture
def start(bundle_path: Path, cache_path: Path) -> Iterator[Start]:
    children: list[Slow] = []

    def make(*options: str, cache: Path = cache_path) -> Slow:
        children.append(Slow(bundle_path, cache, *options))
        return children[-1]

    yield make
    for child in children:
        child.process.kill()
        child.process.communicate()


def offspring(process: int) -> str:
    """The processes that one has started, and that are left."""
    return "".join(path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children"))


def threads(process: int) -> int:
    return len(os.listdir(f"/proc/{process}/task"))


@pytest.mark.parametrize(
    "moment",
    ["working", *(pytest.param(moment, marks=pytest.mark.fault) for moment in ("opening", "serving"))],
)
def test_a_killed_server_leaves_nothing_behind(start: Start, tmp_path: Path, moment: str) -> None:
    """It has no processes beside itself which could be left; port and cache serve the next one."""
    child = start(cache=tmp_path / "cache").listening()
    if moment != "opening":
        child.logged("serving")
    if moment == "working":
        child.ask("red", stream=True, steps=10).readline()
    assert offspring(child.process.pid) == ""
    child.process.kill()
    assert child.exit_code() == -signal.SIGKILL
    again = start("--port", str(child.port), cache=tmp_path / "cache").serving()
    assert again.ask("red").status == 200
    again.stop()
    assert not list((tmp_path / "cache").rglob(".*.tmp"))


def test_an_end_finishes_what_runs_and_what_waits(start: Start) -> None:
    child = start("--max-running", "1", "--max-queued", "8", "--drain", str(WAIT)).serving()
    streams = [child.ask("red", stream=True, steps=10, seed=seed) for seed in range(9)]
    assert (child.status()["admitted"], child.ask("red").status) == (9, 429)
    child.signal(signal.SIGTERM)
    child.logged("draining")
    assert child.ask("red").status == 503
    replies = [stream.read() for stream in streams]
    assert [reply.count(b"event: image_generation.completed") for reply in replies] == [1] * 9
    assert [reply.count(b"event: error") for reply in replies] == [0] * 9
    assert child.exit_code() == 0


def test_an_end_tells_whom_it_cuts_off(start: Start) -> None:
    child = start("--max-running", "1", "--max-queued", "8", "--drain", str(5 * SECONDS)).serving()
    streams = [child.ask("red", stream=True, steps=10, seed=seed) for seed in range(9)]
    child.signal(signal.SIGTERM)
    replies = [stream.read() for stream in streams]
    completed = [reply.count(b"event: image_generation.completed") for reply in replies]
    errors = [reply.count(b"event: error") for reply in replies]
    assert [one + other for one, other in zip(completed, errors, strict=True)] == [1] * 9
    assert sum(errors) >= 7, "there was time for one image at most, and for a second that was nearly done"
    assert child.exit_code() == 0


def traffic(child: Slow, seconds: float, every: float) -> dict[int, int]:
    """Poisson arrivals of all kinds, `every` so many seconds on average: how often each status came."""
    rng, start, statuses = random.Random(0), time.monotonic(), dict[int, int]()
    lock, asking = threading.Lock(), list[threading.Thread]()

    def ask(fields: dict[str, Any], read: bool) -> None:
        reply = child.ask("a red circle", **fields)
        if read:
            reply.read()
        reply.close()
        with lock:
            statuses[reply.status] = statuses.get(reply.status, 0) + 1

    pause, due = threading.Event(), start
    while (due := due + rng.expovariate(1 / every)) < start + seconds:
        pause.wait(max(0.0, due - time.monotonic()))
        fields: dict[str, Any] = rng.choice([{}, {"stream": True}, {"code": 1}, {"steps": 0}, {"n": 2}])
        # Prompts and seeds are all different: whatever is remembered of them has to be forgotten as well.
        fields = {**fields, "seed": rng.randrange(2**40), "negative_prompt": str(rng.random())}
        asking.append(threading.Thread(target=ask, args=({"steps": 2, **fields}, rng.random() < 0.9)))
        asking[-1].start()
        asking = [thread for thread in asking if thread.is_alive()]
    for thread in asking:
        thread.join(WAIT)
    while (status := child.status())["running"] or status["queued"]:
        pause.wait(0.01)
    return statuses


def reading(child: Slow) -> Callable[[], list[Any]]:
    """Reads its log, of which the server drops what nobody reads; gives all of it, once it has ended."""
    lines: list[str] = []
    thread = threading.Thread(target=lambda: lines.extend(child.process.stderr or ()))
    thread.start()

    def whole() -> list[Any]:
        thread.join(WAIT)
        return [json.loads(line) for line in lines]

    return whole


POOL = min(32, (os.cpu_count() or 1) + 4)  # threads of asyncio's pool, each of which comes when it is needed
EVERY = 2 * SECONDS / 0.8  # seconds: two steps an image, on average one image a request, four fifths of that


@pytest.mark.parametrize(
    ("slices", "seconds"),
    [(4, 2.5), pytest.param(20, 30.0, marks=[pytest.mark.fault, pytest.mark.timeout(1200)])],
)
def test_nothing_piles_up(start: Start, slices: int, seconds: float) -> None:
    """Mixed traffic, four fifths of what can be done one by one; after each slice, what the process holds."""
    child = start("--max-running", "4", "--max-queued", "64").serving()
    told = reading(child)
    traffic(child, 2.0, EVERY)  # whatever is allocated once
    held: list[tuple[int, int, int]] = []
    sent = 0
    process = child.process.pid
    for _ in range(slices):
        statuses = traffic(child, seconds, EVERY)
        assert set(statuses) <= {200, 400}
        sent += sum(statuses.values())
        held.append((descriptors(process), threads(process), resident(process)))
    status = child.status()
    ended = sum(status[how] for how in ("finished", "failed", "cancelled", "expired"))
    assert status["admitted"] == ended > 0
    assert (status["failed"], status["expired"], status["rejected"]) == (0, 0, 0)
    counts = np.array(held)
    assert np.ptp(counts[:, 0]) <= 2  # connections whose ends are on their way
    assert np.max(counts[:, 1]) <= counts[0, 1] + POOL
    settled = counts[slices // 5 :, 2]
    slope = np.polyfit(np.arange(len(settled)) * seconds / 60, settled, 1)[0]  # bytes a minute
    assert settled[-1] - settled[0] < 5e6
    if seconds > 10:
        assert slope < 1e6
    child.signal(signal.SIGTERM)
    assert child.exit_code() == 0
    assert not [line for line in told() if line["level"] in ("warning", "error")]
