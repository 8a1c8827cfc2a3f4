"""Limits of this process, and of the cores that it may use, beside those of control groups."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.machine import memory, processor
from tests.runtime.machine.test_cgroup import GIB, system

FREE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "whole"),
    [
        ({resource.RLIMIT_AS: (GIB, FREE)}, GIB),
        ({resource.RLIMIT_DATA: (GIB, 2 * GIB)}, GIB),
        ({resource.RLIMIT_AS: (GIB, FREE), resource.RLIMIT_DATA: (GIB // 2, FREE)}, GIB // 2),
        ({}, None),
    ],
)
def test_limits_of_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[int, tuple[int, int]], whole: int | None
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits.get(which, (FREE, FREE)))
    root = system(tmp_path, "0::/\n", {"memory.max": str(2**62)})
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory.whole(root) == (physical if whole is None else whole)


def test_a_limit_that_is_set() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); "
        "from runtime.machine import memory; print(memory.half_of_memory())"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert int(told) <= GIB // 2


CORES: list[tuple[set[int], list[str], str, int, int, int | None]] = [
    ({0, 1, 2, 3}, ["0,2", "1,3", "0,2", "1,3"], "max 100000", 4, 2, None),
    ({0, 2}, ["0,2", "1,3", "0,2", "1,3"], "max 100000", 2, 1, None),
    ({0, 1, 2, 3}, ["0,2", "1,3", "0,2", "1,3"], "150000 100000", 2, 2, 2),
    ({0, 1, 2, 3}, ["0,2", "1,3", "0,2", "1,3"], "50000 100000", 1, 1, 1),
    ({0, 1, 2}, [], "max 100000", 3, 3, None),  # a system that tells of no siblings
]


def cores(root: Path, siblings: list[str], quota: str) -> Path:
    """A file system of processors with their `siblings`, and of a group with a `quota`."""
    for cpu, listed in enumerate(siblings):
        folder = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(listed + "\n")
    return system(root, "0::/\n", {"cpu.max": quota})


@pytest.mark.parametrize(("allowed", "siblings", "quota", "threads", "most", "left"), CORES)
def test_threads_of_a_call(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    allowed: set[int],
    siblings: list[str],
    quota: str,
    threads: int,
    most: int,
    left: int | None,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed)
    root = cores(tmp_path, siblings, quota)
    assert (processor.threads(root), processor.cores(root), processor.quota(root)) == (threads, most, left)
