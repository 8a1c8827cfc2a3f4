"""The ways to draw timesteps."""

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, LCMScheduler

from aptp.presets import SCHEDULER
from aptp.trainer.timesteps import Timesteps
from tests.aptp.trainer.toys import drawn

# diffusers' Euler makes numpy arrays of tensors in a way that numpy is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TRAILING = {**SCHEDULER, "timestep_spacing": "trailing"}
LEADING = {**SCHEDULER, "timestep_spacing": "leading"}


def many(how, scheduler, rows=10, steps=200):
    timesteps = Timesteps(how, scheduler)
    return torch.stack([timesteps.draw(drawn(rows, step=step)) for step in range(steps)])


def test_uniform_ones_are_drawn_row_by_row():
    found = many("uniform", DDIMScheduler.from_config(SCHEDULER))
    assert found.min() >= 0
    assert found.max() <= 999
    assert found.float().mean() == pytest.approx(499.5, abs=20)
    strata = found.sort(dim=1).values // 100
    assert not torch.equal(strata, torch.arange(10).expand(200, 10))


@pytest.mark.parametrize(
    ("scheduler", "steps", "walked"),
    [
        (EulerDiscreteScheduler.from_config(TRAILING), 1, [999]),
        (EulerDiscreteScheduler.from_config(TRAILING), 2, [499, 999]),
        (LCMScheduler.from_config(SCHEDULER), 4, [259, 499, 759, 999]),
        (DDIMScheduler.from_config(LEADING), 4, [1, 251, 501, 751]),
    ],
    ids=["turbo, 1 step", "turbo, 2 steps", "LCM", "DDIM"],
)
def test_those_of_the_schedule_that_serves(scheduler, steps, walked):
    """The pipeline's own scheduler says which they are; rows spread over them evenly."""
    found = many(f"serving:{steps}", scheduler, rows=8, steps=20)
    assert found.unique().tolist() == walked
    assert all(row.bincount(minlength=1000)[walked].tolist() == [8 // steps] * steps for row in found)
    assert scheduler.num_inference_steps is None  # the pipeline's own is left as it was
