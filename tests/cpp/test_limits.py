"""Limits of control groups, cpusets and the process: C++ reads them as Python does, by the same tables."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from runtime.machine import cgroup, memory, processor
from tests.runtime.machine.test_cgroup import GIB, MEMORY, PROCESSORS, system
from tests.runtime.machine.test_limits import CORES, cores

Told = list[dict[str, Any]]
Limits = Callable[..., Told]

SET_LIMIT = (
    "import os, resource, sys; resource.setrlimit(getattr(resource, sys.argv[1]), (1 << 30, 1 << 30)); "
    "os.execv(sys.argv[2], sys.argv[2:])"
)


@pytest.fixture
def limits(program: Callable[[str], Path]) -> Limits:
    """Return a function that has C++ look into roots, on the processors allowed (None: its own)."""

    def find(allowed: Iterable[int] | None, roots: list[Path], *before: object) -> Told:
        words = [
            *before,
            program("limits"),
            "-" if allowed is None else ",".join(map(str, sorted(allowed))),
            *roots,
        ]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return find


def by_python(root: Path) -> dict[str, Any]:
    return {
        "memory": cgroup.memory(root),
        "whole": memory.whole(root),
        "half": memory.half_of_memory(root),
        "processors": cgroup.processors(root),
        "threads": processor.threads(root),
        "cores": processor.cores(root),
        "quota": processor.quota(root),
    }


def test_control_groups(limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [(groups, files) for groups, files, *_ in [*MEMORY, *PROCESSORS]]
    tables.append(("4:memory:/\n", {"memory/memory.limit_in_bytes": str(2**63 - 4096)}))
    roots = [system(tmp_path / str(index), *table) for index, table in enumerate(tables)]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    told = limits(range(8), roots)
    assert told == [by_python(root) for root in roots]
    assert [each["memory"] for each in told[: len(MEMORY)]] == [limit for *_, limit in MEMORY]


@pytest.mark.parametrize("index", range(len(CORES)))
def test_cores(limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: int) -> None:
    allowed, siblings, quota, *_ = CORES[index]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed)
    root = cores(tmp_path, siblings, quota)
    assert limits(allowed, [root]) == [by_python(root)]


def test_this_machine(limits: Limits) -> None:
    assert limits(None, [Path("/")]) == [by_python(Path("/"))]


def test_this_process_on_one_core(limits: Limits, tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    (told,) = limits(None, [tmp_path], "taskset", "-c", core)
    assert (told["threads"], told["cores"]) == (1, 1)


@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_limits_of_a_process(
    limits: Limits, setting: Callable[[str], str], tmp_path: Path, limit: str
) -> None:
    if setting("APTP_SANITIZE"):
        pytest.skip("a sanitizer maps terabytes for its shadow memory when a program begins")
    (told,) = limits(None, [tmp_path], sys.executable, "-c", SET_LIMIT, limit)
    assert told["whole"] == min(GIB, memory.whole(tmp_path))
