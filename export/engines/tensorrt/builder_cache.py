"""The cache that builds for one GPU and one TensorRT release share: a folder with timings and a lock.

There lie the timing cache, which saves each further expert the timing of kernels that its siblings have had
timed (they differ in few shapes), and a record of how long plans took, which the next forecast is made from.
One build has its turn at a time: kernels are chosen by timing them, and a second build on the GPU would be
timed with them.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.files.cache_folder import make_folder
from runtime.files.lock import locked
from runtime.files.publish import write_file
from runtime.files.source import read_source

_TIMINGS, _BUILDS, _TURN = "timing.cache", "builds.json", "turn.lock"
_GIB = 1 << 30
_MOST = 1 << 20  # bytes of the record
_PATIENCE = 6 * 3600.0  # seconds: others may build plans for all their experts


@dataclass(frozen=True, slots=True)
class BuildForecast:
    """A forecast of a build: the least bytes of GPU memory, and seconds, None before the first build."""

    memory: int
    seconds: float | None

    def __str__(self) -> str:
        known = "no plan was built here before" if self.seconds is None else f"about {self.seconds:.0f} s"
        return f"at least {self.memory / _GIB:.1f} GiB of GPU memory, {known}"


class BuilderCache:
    """The folder for `target` below the cache's root `cache`."""

    def __init__(self, cache: Path, target: Mapping[str, str]) -> None:
        name = f"{target['architecture']}-{target['tensorrt']}"
        self._folder = cache / "tensorrt" / name
        for folder in (cache, self._folder):
            make_folder(folder)

    @property
    def timings(self) -> Path:
        """The timing cache's file, which may not be there yet."""
        return self._folder / _TIMINGS

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other build is at work with this folder, and hold it. Raises LockedError."""
        remedy = "wait for that build to end, or end it, and run the same command again"
        with locked(self._folder / _TURN, remedy, seconds=_PATIENCE):
            yield

    def forecast(self, weights: int, nodes: int) -> BuildForecast:
        """Forecast the build of a graph of so many bytes of weights and so many nodes.

        Memory: the weights twice, once in the network and once in the plan; activations come on top, and are
        not forecast. Time: that of the last plan built here, per node; timings shared since make it an upper
        estimate.
        """
        last = self._builds()[-1:]
        seconds = [one["seconds"] / one["nodes"] * nodes for one in last]
        return BuildForecast(2 * weights, seconds[0] if seconds else None)

    def remember(self, nodes: int, seconds: float) -> None:
        """Record a build that ended well; the caller holds the lock."""
        builds = [*self._builds(), {"nodes": nodes, "seconds": seconds}]
        write_file(self._folder / _BUILDS, json.dumps(builds))

    def _builds(self) -> list[dict[str, float]]:
        try:
            found: list[dict[str, float]] = json.loads(read_source(self._folder / _BUILDS, _MOST))
        except (OSError, ValueError):  # none yet, or cut off: a forecast is no reason to fail
            return []
        return found
