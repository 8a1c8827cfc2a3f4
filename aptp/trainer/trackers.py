"""Trackers of experiments that people watch runs with, through accelerate: TensorBoard, W&B, trackio."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from accelerate.tracking import TensorBoardTracker, TrackioTracker, WandBTracker

from runtime.errors import EnvironmentMismatch, UsageError, nearest

TRACKERS = ("tensorboard", "wandb", "trackio")
PROJECT = "aptp"  # at W&B and trackio; a run is named after its folder
WAYS_OUT = {
    "tensorboard": "see to the run's folder",
    "wandb": "run `wandb login`, or set WANDB_MODE=offline",
    "trackio": "see to its own variables and the server that they name",
}


def check_trackers(names: Sequence[str]) -> None:
    """Raise UsageError for a name that is none, EnvironmentMismatch where its package is missing."""
    for name in names:
        if name not in TRACKERS:
            raise UsageError(
                f"there is no tracker named '{name}'{nearest(name, TRACKERS)}; use {', '.join(TRACKERS)}"
            )
        found = find_spec(name)
        if found is None or found.origin is None:  # W&B leaves a mere folder `wandb` where it ran
            raise EnvironmentMismatch(f"--tracker {name} needs {name}; install with `pip install {name}`")


class Trackers:
    """The trackers `names` of the run in `folder`, of which `done` steps were tracked before.

    One that fails later on ends no training: `say` tells it once, and the run goes on without it.
    """

    def __init__(self, names: Sequence[str], folder: Path, done: int, say: Callable[[str], None]) -> None:
        """Raise EnvironmentMismatch, which names the tracker, where one cannot begin."""
        self._trackers: dict[str, Any] = {}
        self._say = say
        for name in names:
            tracker = _tracker(name, folder, done)
            try:
                tracker.start()
            except Exception as error:  # whatever its library raises
                self.finish()
                raise EnvironmentMismatch(
                    f"--tracker {name} cannot begin ({_told(error)}): {WAYS_OUT[name]}, or leave it out"
                ) from error
            self._trackers[name] = tracker

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._each(lambda tracker: tracker.log(dict(figures), step=step))

    def show(self, step: int, name: str, pictures: npt.NDArray[np.uint8]) -> None:
        """Show `pictures`, [N, H, W, 3], where a tracker takes pictures."""

        def shown(tracker: Any) -> None:
            if isinstance(tracker, TensorBoardTracker):
                tracker.log_images({name: pictures}, step=step, dataformats="NHWC")
            elif isinstance(tracker, WandBTracker):
                tracker.log_images({name: list(pictures)}, step=step)

        self._each(shown)

    def finish(self) -> None:
        self._each(lambda tracker: tracker.finish())

    def _each(self, call: Callable[[Any], None]) -> None:
        """Call each tracker, and do without those that fail."""
        for name, tracker in list(self._trackers.items()):
            try:
                call(tracker)
            except Exception as error:  # noqa: BLE001  # whatever its library raises
                del self._trackers[name]
                self._say(f"--tracker {name} failed ({_told(error)}): this session goes on without it")


def _told(error: Exception) -> str:
    """Return the first line of an error, or its kind where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _tracker(name: str, folder: Path, done: int) -> Any:
    """Return a tracker that goes on where the run was stopped."""
    if name == "tensorboard":
        return TensorBoardTracker(name, folder, purge_step=done)
    place = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
    if name == "wandb":
        return WandBTracker(PROJECT, name=folder.name, dir=str(folder), id=place, resume="allow")
    # It knows runs by their names alone, and folders of one name are many.
    return TrackioTracker(PROJECT, name=f"{folder.name}-{place}", resume="allow")
