"""The limits that control groups, of version 1 or 2, set to this process, as containers and batch systems do.

A limit holds for everything below the group that sets it, so those of all groups above count as well.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def memory(root: Path = ROOT) -> int | None:
    """Return the most bytes that this process and its neighbours may use together; None without a limit."""
    # Beyond memory.high a group is slowed down until nothing goes on: that is a limit as well.
    names = {2: ("memory.max", "memory.high"), 1: ("memory.limit_in_bytes",)}
    found = [_number(folder / name) for version, folder in _groups(root, "memory") for name in names[version]]
    return min((int(limit) for limit in found if limit is not None), default=None)


def processors(root: Path = ROOT) -> float | None:
    """Return how many processors' time they may use together, maybe a fraction; None without a limit."""
    found = [_quota(version, folder) for version, folder in _groups(root, "cpu")]
    return min((limit for limit in found if limit is not None), default=None)


def _groups(root: Path, controller: str) -> Iterator[tuple[int, Path]]:
    """Yield the version and folder of every group that this process is in, and of those above."""
    mounts = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        if line.count(":") < 2:
            continue
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        version, mount = (2, mounts)
        if controllers:  # several share one mount, which has one name for each of them, or one for all
            version, mount = (
                1,
                next(filter(Path.is_dir, (mounts / controller, mounts / controllers)), mounts),
            )
        # Inside a container the path may be the host's, of which only the mount itself can be seen.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            yield version, mount.joinpath(*parts[:depth])


def _quota(version: int, folder: Path) -> float | None:
    if version == 2:
        words = "".join(_lines(folder / "cpu.max")).split()
        if len(words) != 2 or not all(map(str.isdecimal, words)):
            return None
        return int(words[0]) / max(1, int(words[1]))
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def _number(path: Path) -> float | None:
    text = "".join(_lines(path)).strip()
    return int(text) if text.lstrip("-").isdecimal() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
