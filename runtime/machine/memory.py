"""How much memory a program may use here, in bytes."""

import os
import resource
from pathlib import Path

from runtime.machine import cgroup

# Of address space, and of private memory that can be written.
_LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_DATA)


def whole(root: Path = cgroup.ROOT) -> int:
    """Return all the memory there is, in bytes: the machine's, or less where a control group or a limit of
    this process (`ulimit`) says so.
    """
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    soft = (resource.getrlimit(which)[0] for which in _LIMITS)
    limits = [cgroup.memory(root), *(limit for limit in soft if limit != resource.RLIM_INFINITY)]
    return min([there, *(limit for limit in limits if limit is not None)])


def half_of_memory(root: Path = cgroup.ROOT) -> int:
    """Return half of the memory, in bytes: the rest is for activations, caches and everyone else."""
    return whole(root) // 2
