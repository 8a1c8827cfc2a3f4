"""How much memory a program may use here, in bytes."""

import os
from pathlib import Path

from runtime.machine import cgroup


def whole(root: Path = cgroup.ROOT) -> int:
    """Return all the memory there is, in bytes: the machine's, or less where a control group limits it."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = cgroup.memory(root)
    return there if limit is None else min(there, limit)


def half_of_memory(root: Path = cgroup.ROOT) -> int:
    """Return half of the memory, in bytes: the rest is for activations, caches and everyone else."""
    return whole(root) // 2
