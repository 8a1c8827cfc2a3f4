"""This machine's processor, as far as its system tells: Linux does, others give a name at best."""

import math
import os
import platform
from pathlib import Path

from runtime.machine import cgroup

_TOPOLOGY = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def name() -> str:
    """Return the model, or at least the architecture."""
    return next(iter(_column("model name")), platform.processor() or platform.machine())


def flags() -> frozenset[str]:
    """Return the names of its instruction sets."""
    return frozenset(next(iter(_column("flags") or _column("Features")), "").split())


def vectors() -> str:
    """Its class: the widest vectors that code compiled for it may use."""
    here = flags()
    return next((name for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if name in here), "baseline")


def threads(root: Path = cgroup.ROOT) -> int:
    """Return how many threads of this process can run at once: on processors that it may use, within its
    groups' quota.
    """
    return _within_quota(len(_allowed()), root)


def cores(root: Path = cgroup.ROOT) -> int:
    """Return how many threads of one call pay: as `threads`, but one a core, for those that share a core
    share its arithmetic.
    """
    siblings = {_read(root / _TOPOLOGY.format(cpu)) or str(cpu) for cpu in _allowed()}
    return _within_quota(len(siblings), root)


def _allowed() -> set[int]:
    """Return the numbers of the processors that this process may use, its cpuset's at most."""
    try:
        return os.sched_getaffinity(0)
    except AttributeError:  # not Linux
        return set(range(os.cpu_count() or 1))


def quota(root: Path = cgroup.ROOT) -> int | None:
    """Return how many threads a quota of time leaves, where those are fewer than there are processors for
    this process; else None.
    """
    found = threads(root)
    return found if found < len(_allowed()) else None


def _within_quota(count: int, root: Path) -> int:
    share = cgroup.processors(root)
    return count if share is None else max(1, min(count, math.ceil(share)))


def clocks() -> list[int]:
    """Return the MHz of every core at this moment."""
    return [round(float(value)) for value in _column("cpu MHz")]


def _column(key: str) -> list[str]:
    lines = (line.partition(":") for line in _read(Path("/proc/cpuinfo")).splitlines())
    return [value.strip() for name, _, value in lines if name.strip() == key]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
