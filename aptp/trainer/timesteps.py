"""The timesteps that training draws: all of the process, or those of the schedule that will serve."""

import copy
from typing import Any

import torch

from aptp.trainer.rng import Draws


class Timesteps:
    """A distribution of timesteps.

    `stratified`: one uniform draw in each of as many equal ranges as the batch has rows, in random order, so
    that batches differ less. `uniform`: each row for itself, as published. `serving:STEPS`: stratified over
    the timesteps that `scheduler`, the pipeline's own, walks in so many steps. A few-step teacher knows no
    others.
    """

    def __init__(self, how: str, scheduler: Any) -> None:
        self._stratified = how != "uniform"
        _, _, steps = how.partition(":")
        count = int(scheduler.config.num_train_timesteps)
        self._known = _walked(scheduler, int(steps)) if steps else torch.arange(count)

    def draw(self, draws: Draws) -> torch.Tensor:
        """Return int64 [B]."""
        place = draws.strata() if self._stratified else draws.uniform()
        return self._known[(place * len(self._known)).long().clamp(max=len(self._known) - 1)]


def _walked(scheduler: Any, steps: int) -> torch.Tensor:
    walked = copy.deepcopy(scheduler)
    walked.set_timesteps(steps)
    most = int(scheduler.config.num_train_timesteps) - 1
    found: torch.Tensor = torch.unique(walked.timesteps.double().cpu().round().long().clamp(0, most))
    return found
