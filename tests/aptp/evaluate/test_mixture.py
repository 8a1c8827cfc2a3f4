"""The budget that training aimed at, wherever in a checkpoint's history it is told."""

import pytest

from aptp.evaluate.mixture import RoutedMixture, target

ROUTED = RoutedMixture([0, 1, 1], [0.5, 0.8], {"single": [1, 2]}, {"1 thing": [1, 2]}, 0, 0.6)
STAGE_1 = {"made_by": "aptp.train", "method": {"budget": 0.6}, "from": {"made_by": "aptp.pretrain"}}


def test_the_mean_budget_is_of_captions_not_of_codes():
    mean, low, high = ROUTED.budget(ROUTED.counts)
    assert mean == pytest.approx(0.7)
    assert low <= mean <= high


@pytest.mark.parametrize("told", [STAGE_1, {"from": STAGE_1}, {"from": {"from": STAGE_1}}])
def test_the_target_is_stage_1s(told):
    assert target(told) == 0.6


@pytest.mark.parametrize("told", [{}, {"made_by": "aptp.new"}, {"from": {"made_by": "aptp.new"}}])
def test_random_codes_have_no_target(told):
    assert target(told) is None


def test_a_budget_in_seconds_is_no_target_for_macs():
    method = {"budget": 0.6}
    assert target({"from": {"method": method, "budget": {"in": "MACs"}}}) == 0.6
    assert target({"from": {"method": method, "budget": {"in": "seconds"}}}) is None
