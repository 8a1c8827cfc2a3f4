"""The bundle that the studio serves: its manifest, for nothing else is ever read."""

import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Expert, Latent, Manifest, Schedule
from tests.bundles import write_bundle

MACS = {"0": 40, "1": 50, "2": 80, "3": 60, "dense": 100}
OFFERED = {"ddim": set(range(1, 101)), "euler": {10, 20, 25, 50}}  # step counts


@dataclass(frozen=True, slots=True)
class Opened:
    """A bundle, as far as a server asks about it."""

    manifest: Manifest
    digest: str


@cache
def manifest() -> Manifest:
    """Four experts and dense, 64 pixels, 25 steps; one solver that has a few step counts only."""
    with tempfile.TemporaryDirectory() as folder:
        small = Bundle.open(write_bundle(Path(folder) / "bundle")).manifest
    dense = small.experts["dense"]
    return replace(
        small,
        defaults=replace(small.defaults, solver="ddim", steps=25, guidance=2.0),
        latent=Latent(channels=4, height=16, width=16, multiple=4, minimum=8, maximum=64),
        decoder=replace(small.decoder, scale=4),
        dense_macs=MACS["dense"],
        experts={name: Expert(dense.model, dense.clock, 1000, macs) for name, macs in MACS.items()},
        schedules={name: _schedule(steps) for name, steps in OFFERED.items()},
    )


def _schedule(offered: set[int]) -> Schedule:
    rows = tuple(steps if steps in offered else 0 for steps in range(1, 101))
    return Schedule("schedules/ddim.bin", 1, rows, (1.0,) * len(rows))
