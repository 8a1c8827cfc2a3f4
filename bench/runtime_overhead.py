"""What the runtime costs above the engine call: microseconds per request and step, and seconds to import it.

    python -m bench.runtime_overhead

The engine does nothing; latents are [4, 64, 64], prompts [77, 1024]: SD 2.1 at 512 px. A sample is one whole
generation divided by its steps; routing and encoding are not in it, they are engine calls themselves.
"""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.report import save, spread
from runtime.batching import Batcher
from runtime.request import Request, constant_plan
from runtime.schedule import Course, Row, Trajectory

SHAPE = (4, 64, 64)
PROMPT = (1, 77, 1024)
STEPS = 50
SAMPLES = 60
WINDOWS = {"ddim": 1, "dpmpp_2m": 2, "pndm": 4}


class NoEngine:
    """Returns the same array, whatever it is given."""

    def __init__(self, rows: int) -> None:
        self.output = np.zeros((rows, *SHAPE), np.float32)

    def run(self, sample: Any, timestep: Any, conditioning: Any) -> Any:
        return self.output


def course(window: int) -> Course:
    rows = []
    for index in range(STEPS):
        terms = tuple((back, 0.5) for back in range(min(window, index + 1)))
        rows.append(Row(float(index), 1.0, terms[:1], terms))  # the state once, every output of the window
    return Course(tuple(rows), 1.0, window)


def sample(window: int, guidance: float, batch: int) -> float:
    """Microseconds per request and step."""
    rows, prompt = course(window), {"encoder_hidden_states": np.zeros(PROMPT, np.float32)}
    engine = NoEngine(batch * (1 if guidance == 1.0 else 2))
    batcher = Batcher(lambda expert, rows, height, width: engine, batch)
    plan, negative = constant_plan("0", STEPS), None if guidance == 1.0 else prompt
    for _ in range(batch):
        trajectory = Trajectory(rows, np.ones(SHAPE, np.float32))
        batcher.submit(Request(plan, trajectory, prompt, negative, guidance))
    start = time.perf_counter()
    while batcher:
        batcher.tick()
    return 1e6 * (time.perf_counter() - start) / (STEPS * batch)


def import_seconds() -> float:
    """Seconds that `from runtime import Runtime` takes in a fresh process."""
    code = "import time; t = time.perf_counter(); from runtime import Runtime; print(time.perf_counter() - t)"
    root = Path(__file__).parents[1]
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=root, check=True)
    return float(child.stdout)


def main() -> None:
    cases = [(name, guidance, batch) for name in WINDOWS for guidance in (1.0, 7.5) for batch in (1, 4)]
    steps: dict[str, list[float]] = {}
    for _ in range(SAMPLES):  # in turns, so that a slow moment hits every case
        for name, guidance, batch in cases:
            key = f"{name}, guidance {guidance:g}, batch {batch}"
            steps.setdefault(key, []).append(sample(WINDOWS[name], guidance, batch))
    imports = [import_seconds() for _ in range(10)]
    overhead = [
        {"case": key, "median µs": f"{median(values):.1f}", "lowest": f"{min(values):.1f}", "n": len(values)}
        for key, values in steps.items()
    ]
    tables = {
        f"Above the engine call, per request and step ({STEPS} steps, latents {SHAPE})": overhead,
        "from runtime import Runtime, fresh process": [{"time": spread(imports), "n": len(imports)}],
    }
    title = "What the runtime costs above its engines"
    save("runtime_overhead", title, tables, {"µs per step": steps, "import s": imports})


if __name__ == "__main__":
    main()
