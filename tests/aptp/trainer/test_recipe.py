"""Learning rates over a run, and recipes that make no sense."""

import re

import pytest

from aptp.trainer.recipe import Recipe
from runtime.errors import UsageError


def test_the_rate_rises_stays_and_falls():
    recipe = Recipe(steps=10, batch=1, rate=1.0, warmup=4, decay=2)
    rates = [recipe.rate_at(step) for step in range(10)]
    assert rates == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 0.5]


def test_the_published_rate_follows_the_batch():
    recipe = Recipe(steps=10, batch=16, rate=1e-3, scaling="sqrt", warmup=1)
    assert recipe.rate_at(5) == pytest.approx(4e-3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "--train-steps is 0; it must be at least 1"),
        ({"batch": 0}, "--train-batch is 0"),
        ({"rate": 0.0}, "--rate is 0.0; it must be above 0"),
        ({"rate": float("nan")}, "--rate is nan"),
        ({"rate": float("inf")}, "--rate is inf"),
        ({"scaling": "sqr"}, "--rate-scaling 'sqr' is not known (did you mean 'sqrt'?): give none or sqrt"),
        ({"optimizer": "adam8bit"}, "--optimizer 'adam8bit' is not known (did you mean 'adamw8bit'?)"),
        ({"warmup": -1}, "--rate-warmup is -1; it must be 0 or more"),
        ({"decay": -1}, "--rate-decay is -1"),
        ({"clip": -0.1}, "--clip is -0.1"),
        ({"clip": float("nan")}, "--clip is nan"),
        ({"weight_decay": -1.0}, "--weight-decay is -1.0"),
        ({"betas": (0.9, 1.0)}, "--betas is 0.9,1; give shares in [0, 1)"),
        ({"average": 1.0}, "--ema is 1; give shares in [0, 1)"),
        ({"timesteps": "serving"}, "--timesteps 'serving': give stratified"),
        ({"timesteps": "serving:0"}, "--timesteps 'serving:0'"),
        ({"timesteps": "strata"}, "--timesteps 'strata'"),
    ],
)
def test_nonsense_is_refused_by_the_option_s_name(wrong, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        Recipe(**{"steps": 1, "batch": 1, "rate": 0.1, **wrong})


def test_models_that_share_a_run_keep_the_rate_of_their_own_batch():
    alone = Recipe(steps=10, batch=16, rate=1e-3, scaling="sqrt", warmup=1)
    several = alone.together(4)
    assert several.batch == 64
    assert several.peak == alone.peak == 4e-3
    assert several.rate_at(5) == alone.rate_at(5)
