"""The widths that a machine likes: steps, padding, and noise that is neither."""

from dataclasses import replace

import numpy as np
import pytest

from aptp.checkpoint.reader import Checkpoint
from aptp.space.architecture import Architecture
from aptp.space.groups import DepthGate, Kind, Space, WidthGroup
from aptp.space.profile import FIXED
from export.profile.width_advice import advise, forecasts, steps
from runtime.errors import TableError
from tests.profiles import SETTING, counted, part, profile

SPACE = Space(
    (WidthGroup(Kind.RESNET, "resnets.0", 32, 10), WidthGroup(Kind.SELF_ATTENTION, "attn.0", 4, 64)),
    (DepthGate("resnets.0", 320),),
)
LINE = {kept: 10.0 + kept for kept in (1, 8, 9, 16, 17, 24, 25, 32)}
STEP = {kept: spent + (8.0 if kept > 16 else 0.0) for kept, spent in LINE.items()}
DIP = {**LINE, 17: 40.0}


def found(seconds, kept=18, depth=True):
    keep = np.ones(SPACE.size, dtype=np.bool_)
    keep[kept:32] = False
    keep[-1] = depth
    measured = replace(
        profile(SPACE), parts=(part("resnets.0", seconds, chunk=10), part("attn.0", {1: 1, 4: 4}))
    )
    return list(advise(measured, Architecture(SPACE, keep)))


def test_a_line_has_no_steps():
    assert steps(part("resnets.0", LINE)) == []
    assert found(LINE) == []


def test_what_is_fixed_has_no_steps():
    assert steps(part("conv_in", {1: 1.0}, FIXED)) == []


def test_just_above_a_step_a_few_gates_are_dear():
    assert steps(part("resnets.0", STEP)) == [16]
    (advice,) = found(STEP)
    assert (advice.kept, advice.better, advice.saved) == (18, 16, pytest.approx(10.0))
    assert str(advice) == "resnets.0 keeps 18 of 32: dropping 2, to 16, saves 1e+04 ms"


def test_far_above_a_step_they_are_not():
    assert found(STEP, kept=30) == []


def test_more_gates_that_cost_less_are_padded_to():
    (advice,) = found(DIP, kept=17)
    assert (advice.better, advice.saved) == (24, pytest.approx(6.0))
    assert str(advice) == "resnets.0 keeps 17 of 32: padding to 24 saves 6e+03 ms"


def test_differences_within_the_noise_are_none():
    restless = {kept: (spent - 9, spent, spent + 9) for kept, spent in STEP.items()}
    assert steps(replace(part("resnets.0", STEP), samples=restless)) == []


def test_a_skipped_layer_and_a_whole_one_need_no_advice():
    assert found(STEP, depth=False) == []
    assert found(DIP, kept=32) == []


def test_forecasts_are_by_code_and_in_shares_of_dense(mini):
    checkpoint = Checkpoint.open(mini)
    setting = replace(SETTING, latent=checkpoint.latent_size, tokens=77)
    made = forecasts(counted(checkpoint.cost(), setting), checkpoint, ("0", "1", "dense"))
    assert made["dense"].share == 1
    for code in (0, 1):
        assert made[str(code)].share == pytest.approx(
            checkpoint.cost().of(checkpoint.architectures[code]) / checkpoint.cost().dense
        )
    assert "of dense; no width to align or pad" in str(made["dense"])


def test_a_profile_at_another_size_is_refused(mini):
    checkpoint = Checkpoint.open(mini)
    with pytest.raises(TableError, match="holds for 8x8 latents"):
        forecasts(profile(checkpoint.space), checkpoint, ("0",))
