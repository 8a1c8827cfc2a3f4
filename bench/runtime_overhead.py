"""What the runtime costs above the engine call: microseconds per request and step, and seconds to import it.

    python bench/runtime_overhead.py [--out FILE]

The engine does nothing; latents are [4, 64, 64], prompts [77, 1024]: SD 2.1 at 512 px. A sample is one whole
generation divided by its steps; routing and encoding are not in it, they are engine calls themselves.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

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
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, help="write the raw samples as JSON")
    options = parser.parse_args()
    cases = [(name, guidance, batch) for name in WINDOWS for guidance in (1.0, 7.5) for batch in (1, 4)]
    samples: dict[str, list[float]] = {}
    for _ in range(SAMPLES):  # interleaved, so that a slow moment hits every case
        for name, guidance, batch in cases:
            key = f"{name} guidance={guidance:g} batch={batch}"
            samples.setdefault(key, []).append(sample(WINDOWS[name], guidance, batch))
    samples["from runtime import Runtime, seconds"] = [import_seconds() for _ in range(10)]
    environment = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "steps": STEPS,
        "latents": SHAPE,
    }
    print(json.dumps(environment))
    for key, values in samples.items():
        print(f"{key:36} median {statistics.median(values):9.3f}   min {min(values):9.3f}   n {len(values)}")
    if options.out:
        options.out.write_text(json.dumps({"environment": environment, "samples": samples}, indent=1) + "\n")


if __name__ == "__main__":
    main()
