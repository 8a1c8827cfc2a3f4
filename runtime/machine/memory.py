"""What this machine has to give."""

import os


def half_of_memory() -> int:
    """Half of this machine's memory, in bytes: the rest is for activations, caches and everyone else."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
