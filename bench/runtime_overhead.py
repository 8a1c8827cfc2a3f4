"""The runtime's overhead above the engine call: microseconds per request and step, and seconds to import it.

    python -m bench.runtime_overhead

Engines do nothing; latents are [4, 64, 64], prompts [77, 1024]: SD 2.1 at 512 px. A sample of steps is one
whole generation divided by them; one of scheduling is 128 requests that do nothing but be scheduled, by the
threads that serve. Routing and encoding are not in it, they are engine calls themselves.
"""

import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.report import save, spread
from runtime.cli.parser import Parser, run
from runtime.diffusion.schedule import Row, SolverSteps, Trajectory
from runtime.scheduling.memory import MemoryBudget
from runtime.scheduling.scheduler import QueueLimits, Scheduler
from runtime.service.batch import Batch
from runtime.service.denoising import Denoising
from runtime.service.dispatcher import Dispatcher

SHAPE = (4, 64, 64)
EMBEDDING = 1280
PROMPT = (1, 77, 1024)
STEPS = 50
SAMPLES = 60
WINDOWS = {"ddim": 1, "dpmpp_2m": 2, "pndm": 4}
EXPERTS, RUNNING, SERVED = "0123", 64, 128


class NoEngine:
    """An engine that returns the same array, whatever it is given."""

    def __init__(self, rows: int) -> None:
        self.output = np.zeros((rows, *SHAPE), np.float32)

    def run(self, sample: Any, time_embedding: Any, conditioning: Any) -> Any:
        return self.output[: len(sample)]


def solver_steps(window: int) -> SolverSteps:
    rows = []
    for index in range(STEPS):
        terms = tuple((back, 0.5) for back in range(min(window, index + 1)))
        # The state once, every output of the window.
        rows.append(Row(float(index), 1.0, terms[:1], terms, (0.0, 1.0)))
    return SolverSteps(tuple(rows), 1.0, window)


def denoising(window: int, guidance: float) -> Denoising:
    prompt = {"encoder_hidden_states": np.zeros(PROMPT, np.float32)}
    trajectory = Trajectory(solver_steps(window), np.ones(SHAPE, np.float32))
    clock = np.zeros((STEPS, EMBEDDING), np.float32)
    negative = None if guidance == 1.0 else prompt
    return Denoising("0", trajectory, clock, prompt, negative, guidance)


def steps(window: int, guidance: float, batch: int) -> float:
    """Return the microseconds per request and step: latents gathered, and a step of the schedule for each."""
    images = [denoising(window, guidance) for _ in range(batch)]
    engine, call = NoEngine(batch * images[0].rows), Batch(images)
    start = time.perf_counter()
    for _ in range(STEPS):
        call.run(engine)
    return 1e6 * (time.perf_counter() - start) / (STEPS * batch)


class Idle:
    """A request whose work is nothing but its scheduling."""

    failure = None

    def __init__(self, expert: str, over: threading.Semaphore) -> None:
        self.need, self.upcoming, self.made, self._over = expert, None, 0, over

    @property
    def ended(self) -> bool:
        return self.made == STEPS

    def tell(self, event: Any) -> None:
        if event == "finished":
            self._over.release()

    def queued(self, ahead: int) -> Any:
        return "queued"

    def started(self) -> Any:
        return "started"

    def progress(self) -> Any:
        return "step"

    def finished(self) -> Any:
        return "finished"


class NoHandler:
    """A handler that does nothing."""

    def prepare(self, work: Idle) -> None: ...

    def open(self, key: str) -> str:
        return key

    def call(self, key: str, engine: str, works: Any) -> None:
        for work in works:
            work.made += 1

    def close(self, key: str, engine: str) -> None: ...


def scheduling(batch: int) -> float:
    """Return the microseconds per request and step that deciding, handing over and telling take, all threads
    running.
    """
    limits = QueueLimits(RUNNING, None)
    scheduler: Any = Scheduler(limits, MemoryBudget(len(EXPERTS), lambda key: 1), lambda key: batch)
    service, over = Dispatcher(scheduler, NoHandler()), threading.Semaphore(0)
    start = time.perf_counter()
    for index in range(SERVED):
        service.submit(Idle(EXPERTS[index % len(EXPERTS)], over))
    for _ in range(SERVED):
        over.acquire()
    seconds = time.perf_counter() - start
    service.close()
    return 1e6 * seconds / (SERVED * STEPS)


def import_seconds() -> float:
    """Return the seconds that `from runtime import Runtime` takes in a fresh process."""
    code = "import time; t = time.perf_counter(); from runtime import Runtime; print(time.perf_counter() - t)"
    root = Path(__file__).parents[1]
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=root, check=True)
    return float(child.stdout)


def main() -> None:
    Parser(prog="python -m bench.runtime_overhead", description=__doc__).parse_args()
    cases = [(name, guidance, batch) for name in WINDOWS for guidance in (1.0, 7.5) for batch in (1, 4)]
    walked: dict[str, list[float]] = {}
    scheduled: dict[str, list[float]] = {}
    for _ in range(SAMPLES):  # in turns, so that a slow moment hits every case
        for name, guidance, batch in cases:
            key = f"{name}, guidance {guidance:g}, batch {batch}"
            walked.setdefault(key, []).append(steps(WINDOWS[name], guidance, batch))
        for batch in (1, 8):
            scheduled.setdefault(f"{batch} to a call", []).append(scheduling(batch))
    imports = [import_seconds() for _ in range(10)]
    tables = {
        f"Scheduling, per request and step ({RUNNING} under way on {len(EXPERTS)} experts)": table(scheduled),
        f"Steps, per request and step ({STEPS} steps, latents {SHAPE})": table(walked),
        "from runtime import Runtime, fresh process": [{"time": spread(imports), "n": len(imports)}],
    }
    title = "What the runtime costs above its engines"
    samples = {"scheduling, µs": scheduled, "steps, µs": walked, "import s": imports}
    save("runtime_overhead", title, tables, samples)


def table(samples: dict[str, list[float]]) -> list[dict[str, object]]:
    return [
        {"case": key, "median µs": f"{median(values):.1f}", "lowest": f"{min(values):.1f}", "n": len(values)}
        for key, values in samples.items()
    ]


if __name__ == "__main__":
    run(main)
