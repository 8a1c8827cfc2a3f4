"""Trackers of experiments that people watch runs with, through accelerate: TensorBoard, W&B, trackio."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from accelerate.tracking import TensorBoardTracker, TrackioTracker, WandBTracker

from runtime.errors import EnvironmentMismatch, UsageError, nearest

TRACKERS = ("tensorboard", "wandb", "trackio")
PROJECT = "aptp"  # at W&B and trackio; a run is named after its folder


def check_trackers(names: Sequence[str]) -> None:
    """Raise UsageError for a name that is none, EnvironmentMismatch where its package is missing."""
    for name in names:
        if name not in TRACKERS:
            raise UsageError(
                f"there is no tracker named '{name}'{nearest(name, TRACKERS)}; use {', '.join(TRACKERS)}"
            )
        if find_spec(name) is None:
            raise EnvironmentMismatch(f"--tracker {name} needs {name}; install with `pip install {name}`")


class Trackers:
    """The trackers `names` of the run in `folder`, of which `done` steps were tracked before."""

    def __init__(self, names: Sequence[str], folder: Path, done: int) -> None:
        self._trackers = [_tracker(name, folder, done) for name in names]
        for tracker in self._trackers:
            tracker.start()

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for tracker in self._trackers:
            tracker.log(dict(figures), step=step)

    def show(self, step: int, name: str, pictures: npt.NDArray[np.uint8]) -> None:
        """Show `pictures`, [N, H, W, 3], where a tracker takes pictures."""
        for tracker in self._trackers:
            if isinstance(tracker, TensorBoardTracker):
                tracker.log_images({name: pictures}, step=step, dataformats="NHWC")
            elif isinstance(tracker, WandBTracker):
                tracker.log_images({name: list(pictures)}, step=step)

    def finish(self) -> None:
        for tracker in self._trackers:
            tracker.finish()


def _tracker(name: str, folder: Path, done: int) -> Any:
    """Return a tracker that goes on where the run was stopped."""
    if name == "tensorboard":
        return TensorBoardTracker(name, folder, purge_step=done)
    if name == "wandb":
        place = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
        return WandBTracker(PROJECT, name=folder.name, dir=str(folder), id=place, resume="allow")
    return TrackioTracker(PROJECT, name=folder.name, resume="allow")
