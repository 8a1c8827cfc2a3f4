"""The names under which stage 1's choices are made."""

from dataclasses import fields, replace

import pytest

from aptp.train.method import PRECISIONS, PRESETS, RECIPES, Method, method
from runtime.errors import BudgetError, UsageError


def test_paper_is_the_published_method() -> None:
    paper = method("paper")
    assert (paper.codes, paper.budget, paper.offset, paper.temperature, paper.warm_up) == (
        8,
        0.6,
        3,
        0.4,
        500,
    )
    assert (paper.epsilon, paper.iterations, paper.contrast_temperature) == (0.05, 3, 0.03)
    weights = paper.weights
    assert (weights.diffusion, weights.output, weights.blocks, weights.budget) == (1, 0.2, 0.2, 2)
    assert (weights.contrast, weights.deviation, weights.largest) == (100, 0.1, 0.1)
    recipe = RECIPES["paper"]
    assert recipe.rate_at(1000) == pytest.approx(2.26e-3, rel=0.01)
    assert (recipe.clip, recipe.timesteps, PRECISIONS["paper"]) == (0, "uniform", "no")


def test_every_correction_can_be_undone_alone() -> None:
    published, corrected = PRESETS["paper"], PRESETS["tiny"]
    flags = [f.name for f in fields(Method) if isinstance(getattr(published, f.name), bool)]
    for flag in flags:
        assert getattr(published, flag) != getattr(corrected, flag)
        undone = method("tiny", [f"{flag}={str(getattr(published, flag)).lower()}"])
        assert undone == replace(corrected, **{flag: getattr(published, flag)})


def test_changes_take_their_field_s_type() -> None:
    changed = method("tiny", ["codes=6", "budget=0.5", "hard=False", "weights.contrast=3", "align=8"])
    assert (changed.codes, changed.budget, changed.hard, changed.align) == (6, 0.5, False, 8)
    assert changed.weights.contrast == 3.0
    assert changed.weights.output == PRESETS["tiny"].weights.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("align", "write name=value"),
        ("alighn=2", "did you mean 'align'"),
        ("weights.contrst=2", "did you mean 'contrast'"),
        ("weights=2", "no setting 'weights'"),
        ("hard=1", "hard=1: it must be a bool"),
        ("codes=2.5", "codes=2.5: it must be a int"),
        ("transport=sinkhron", "did you mean 'sinkhorn'"),
        ("codes=0", "codes is 0; it must be at least 1"),
        ("align=0", "align is 0"),
        ("iterations=0", "iterations is 0"),
        ("temperature=0", "temperature is 0.0; it must be above 0"),
        ("epsilon=nan", "epsilon is nan"),
        ("contrast_temperature=-1", "above 0"),
        ("dropped=1", "a share in"),
        ("spread=-0.1", "spread is -0.1"),
        ("warm_up=-1", "warm_up is -1"),
    ],
)
def test_changes_that_make_no_sense(change: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        method("tiny", [change])


def test_budgets_are_shares() -> None:
    with pytest.raises(BudgetError, match="not in"):
        method("tiny", ["budget=1.2"])


def test_unknown_presets() -> None:
    with pytest.raises(UsageError, match=r"unknown preset 'papre' \(did you mean 'paper'"):
        method("papre")
