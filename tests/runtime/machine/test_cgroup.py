"""Limits of control groups, read from files as Linux has them, and what follows for memory and threads."""

import os
from pathlib import Path

import pytest

from runtime.machine import cgroup, memory, processor

GIB = 1 << 30
CFS = "cpu/a/cpu.cfs_"


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    """A file system of which the process is in `groups`; `files` lie below its /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


MEMORY: list[tuple[str, dict[str, str], int | None]] = [
    ("0::/\n", {"memory.max": str(GIB)}, GIB),
    ("0::/\n", {"memory.max": "max"}, None),
    ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": str(GIB)}, GIB),
    ("0::/a/b\n", {"a/b/memory.max": str(GIB), "a/memory.max": str(2 * GIB)}, GIB),
    # Inside a container that sees the host's path, and only its own group.
    ("0::/docker/123\n", {"memory.max": str(GIB)}, GIB),
    ("0::/../other\n", {"memory.max": str(GIB)}, GIB),
    ("4:memory:/job\n3:cpu,cpuacct:/job\n", {"memory/job/memory.limit_in_bytes": str(GIB)}, GIB),
    ("4:memory:/job\n", {"memory/memory.limit_in_bytes": str(GIB)}, GIB),
    ("3:cpu,cpuacct:/job\n", {"memory/job/memory.limit_in_bytes": str(GIB)}, None),
    ("0::/\n", {"memory.max": "max", "memory.high": str(GIB)}, GIB),  # beyond it nothing goes on
    ("0::/\n", {"memory.max": "nonsense"}, None),
    ("nonsense\n0::/\n", {"memory.max": str(GIB)}, GIB),
    ("0::/\n", {}, None),
    ("", {}, None),
]


@pytest.mark.parametrize(("groups", "files", "limit"), MEMORY)
def test_memory(tmp_path: Path, groups: str, files: dict[str, str], limit: int | None) -> None:
    root = system(tmp_path, groups, files)
    assert cgroup.memory(root) == limit
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory.whole(root) == min(limit or physical, physical)
    assert memory.half_of_memory(root) == memory.whole(root) // 2


def test_a_limit_beyond_what_there_is(tmp_path: Path) -> None:
    root = system(tmp_path, "4:memory:/\n", {"memory/memory.limit_in_bytes": str(2**63 - 4096)})
    assert memory.whole(root) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


# On eight processors.
PROCESSORS: list[tuple[str, dict[str, str], float | None, int]] = [
    ("0::/\n", {"cpu.max": "150000 100000"}, 1.5, 2),
    ("0::/\n", {"cpu.max": "max 100000"}, None, 8),
    ("0::/a\n", {"cpu.max": "200000 100000", "a/cpu.max": "50000 100000"}, 0.5, 1),
    (
        "3:cpu,cpuacct:/a\n",
        {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"},
        3,
        3,
    ),
    (
        "3:cpu,cpuacct:/a\n",
        {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"},
        None,
        8,
    ),
    (
        "3:cpu,cpuacct:/a\n",  # one mount of several controllers, without a name for each
        {"cpu,cpuacct/a/cpu.cfs_quota_us": "50000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
        0.5,
        1,
    ),
    ("0::/\n", {"cpu.max": "6400000 100000"}, 64, 8),
    ("0::/\n", {"cpu.max": "nonsense 0"}, None, 8),
    ("", {}, None, 8),
]


@pytest.mark.parametrize(("groups", "files", "limit", "threads"), PROCESSORS)
def test_processors(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    groups: str,
    files: dict[str, str],
    limit: float | None,
    threads: int,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    root = system(tmp_path, groups, files)
    assert cgroup.processors(root) == limit
    assert processor.threads(root) == threads


def test_this_machine() -> None:
    assert 1 <= processor.threads() <= len(os.sched_getaffinity(0))
    assert memory.whole() > 1 << 26
