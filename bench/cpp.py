"""The cost of the runtime in C++: above its engines, to the first image, in memory and on disk.

    python -m bench.cpp --build build/cpp --bundle bundle

The build is one of `make cpp`: Release, with tests. Start to first image is a whole process, from its start
until it says that its first image is there, on engine `cpu` with the cache filled; C++ and Python take turns.
Overhead is that of `bench.runtime_overhead`, measured as there: engines do nothing, latents are [4, 64, 64].
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench import runtime_overhead
from bench.report import save, spread
from runtime.cli.parser import Parser, run

ROOT = Path(__file__).parents[1]
PYTHON = """
import sys
from runtime.api.pipeline import Pipeline
with Pipeline.open(sys.argv[1], engine="cpu", cache=sys.argv[2]) as pipeline:
    pipeline.generate("a red circle", code=0)
    print("done", flush=True)
    sys.stdin.read()
"""
LIMIT = 2_000_000  # bytes that the library may take, stripped
OVERHEAD = 10.0  # microseconds per request and step


class BundleProcess:
    """A process that opened a bundle, made an image, and holds its engines until it is let go."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        start = time.perf_counter()
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.seconds = time.perf_counter() - start
        assert line, "it ended before its image was there"

    def mapped(self, folder: Path) -> dict[str, int]:
        """Return the kilobytes of files below a folder that are mapped: all, and this process's share."""
        found = {"Rss": 0, "Pss": 0, "Private_Dirty": 0}
        inside = False
        for line in Path(f"/proc/{self._process.pid}/smaps").read_text().splitlines():
            name, *rest = line.split()
            if not name.endswith(":"):
                inside = bool(rest) and rest[-1].startswith(str(folder))
            elif inside and name[:-1] in found:
                found[name[:-1]] += int(rest[0])
        return found

    def let_go(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0


def starts(program: Path, bundle: Path, cache: Path, count: int) -> dict[str, list[float]]:
    """Return the seconds until the first image, in turns."""
    commands: dict[str, list[str | Path]] = {
        "C++": [program, bundle, cache, "cpu"],
        "Python": [sys.executable, "-c", PYTHON, bundle, cache],
    }
    found: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(count + 1):
        for name, command in commands.items():
            holder = BundleProcess(command)
            holder.let_go()
            if turn:  # the first fills the cache
                found[name].append(holder.seconds)
    return found


def sharing(program: Path, bundle: Path, cache: Path) -> list[dict[str, object]]:
    """Measure what one process, and then two of them, map of the cache."""
    rows: list[dict[str, object]] = []
    holders: list[BundleProcess] = []
    for _ in range(2):
        holders.append(BundleProcess([program, bundle, cache, "cpu"]))
        first = holders[0].mapped(cache)
        rows.append(
            {"processes": len(holders), **{f"{name} of the first, kB": kb for name, kb in first.items()}}
        )
    for holder in holders:
        holder.let_go()
    return rows


def overheads(program: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return the microseconds per request and step: of steps, of scheduling, of copying what a step moves."""
    found: dict[str, dict[str, list[float]]] = {"steps": {}, "floor": {}, "scheduling": {}}
    done = subprocess.run([program, str(rounds)], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        for kind, cases in json.loads(line).items():
            for key, value in cases.items():
                found[kind].setdefault(key, []).append(value)
    return found


def stripped(library: Path) -> int:
    """Return the bytes of a library without its symbols."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(library.resolve(), folder))
        subprocess.run(["strip", "--strip-unneeded", copy], check=True)
        return copy.stat().st_size


def main() -> None:
    parser = Parser(prog="python -m bench.cpp", description="What the runtime in C++ costs.")
    parser.add_argument("--build", type=Path, default=Path("build/cpp"), help="a Release build with tests")
    parser.add_argument("--bundle", type=Path, default=Path("bundle"))
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    build, bundle = options.build.resolve(), options.bundle.resolve()
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder).resolve()
        started = starts(build / "hold", bundle, cache, options.starts)
        shared = sharing(build / "hold", bundle, cache)
    measured = overheads(build / "overhead", options.rounds)
    overhead = {kind: runtime_overhead.table(cases) for kind, cases in measured.items()}
    size = stripped(build / "libaptp.so")
    tables: dict[str, Sequence[Mapping[str, Any]]] = {
        "Start of a process to its first image": [
            {"runtime": name, "time": spread(seconds), "n": len(seconds)} for name, seconds in started.items()
        ],
        "Overhead of scheduling, per request and step": overhead["scheduling"],
        f"Overhead of steps, per request and step (goal: {OVERHEAD:g} µs)": overhead["steps"],
        "Their floor: as many bytes, copied by std::copy": overhead["floor"],
        "Weights of the cache that are mapped": shared,
        f"Size (goal: {LIMIT:,} bytes)": [{"library": "libaptp.so, stripped", "bytes": f"{size:,}"}],
    }
    samples = {"starts, s": started, "overhead, µs": measured, "bytes": size}
    save("cpp", "The runtime in C++", tables, samples)
    for line in verdicts(started, measured["steps"], measured["scheduling"], shared, size):
        print(line)


def verdicts(
    started: Mapping[str, Sequence[float]],
    steps: Mapping[str, Sequence[float]],
    scheduling: Mapping[str, Sequence[float]],
    shared: Sequence[Mapping[str, object]],
    size: int,
) -> list[str]:
    """Say which goals are met."""
    worst = max(steps, key=lambda key: median(steps[key]))
    slowest = max(median(values) for values in scheduling.values())
    total = median(steps[worst]) + slowest
    alone, both = (int(str(row["Pss of the first, kB"])) for row in shared)
    goals = {
        f"first image no later than Python's: {median(started['C++']):.2f} s": median(started["C++"])
        <= median(started["Python"]),
        f"at most {OVERHEAD:g} µs per request and step: {total:.1f} µs ({worst})": total <= OVERHEAD,
        f"two processes share the weights: {alone} kB alone, {both} kB each": both < 0.6 * alone,
        f"at most {LIMIT:,} bytes: {size:,}": size <= LIMIT,
    }
    return [f"{'met' if met else 'NOT MET'}: {goal}" for goal, met in goals.items()]


if __name__ == "__main__":
    run(main)
