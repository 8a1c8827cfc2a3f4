"""This machine's processor, as far as its system tells: Linux does, others give a name at best."""

import math
import os
import platform
from pathlib import Path

from runtime.machine import cgroup


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
    """How many threads of this process can run at once: cores that it may use, within its groups' quota."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cores = os.cpu_count() or 1
    quota = cgroup.processors(root)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def clocks() -> list[int]:
    """MHz of every core at this moment."""
    return [round(float(value)) for value in _column("cpu MHz")]


def _column(key: str) -> list[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    lines = (line.partition(":") for line in text.splitlines())
    return [value.strip() for name, _, value in lines if name.strip() == key]
