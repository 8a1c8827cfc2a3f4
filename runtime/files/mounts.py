"""Mounts: places that no rename replaces, such as a folder that a container was given."""

import os
import re
from pathlib import Path

_TABLE = Path("/proc/self/mountinfo")


def is_mount(path: Path) -> bool:
    """Return whether something is mounted at `path` itself, such as a folder bound there."""
    place = os.path.join(os.path.realpath(path.parent), path.name)  # of a link, the link
    try:
        lines = _TABLE.read_bytes().splitlines()
    except OSError:  # another system than Linux
        return os.path.ismount(place)
    return os.fsencode(place) in (_unescaped(line.split()[4]) for line in lines)


def _unescaped(place: bytes) -> bytes:
    """Return the path that the table writes with its white space and backslashes in octal."""
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), place)
