"""The budget: what is counted, and the last adjustment that meets it."""

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from aptp.presets import PRESETS
from aptp.space.architecture import THRESHOLD, harden
from aptp.space.cost import mac_cost
from aptp.train.budget import Budget, fit, published_cost
from runtime.errors import BudgetError
from tests.aptp.train.spaces import published, small


def test_the_published_count_of_sd_2_1() -> None:
    with torch.device("meta"):
        config, space = dict(UNet2DConditionModel(**PRESETS["sd21"].unet).config), published()
    single = mac_cost(config, space, 96, 96, 1)
    # The paper says 1384.2 G at 768 px; true MACs there are 1074.6 G.
    assert published_cost(config, single, 96, 96).dense == pytest.approx(1384.2e9, rel=0.005)
    assert mac_cost(config, space, 96, 96, 77).dense == pytest.approx(1074.6e9, rel=0.001)


def test_ratios_of_all_or_of_what_can_be_pruned() -> None:
    space, cost = small()
    ends = torch.stack([torch.ones(space.size), torch.zeros(space.size)])
    whole, prunable = Budget(cost, 0.6), Budget(cost, 0.6, prunable=True)
    assert whole.ratios(ends).tolist() == pytest.approx([1, cost.base / cost.dense], rel=1e-5)
    assert whole.aim == 0.6
    assert prunable.ratios(ends).tolist() == pytest.approx([1, 0], abs=1e-6)
    # p' = 1 − (1 − p) · total / prunable
    assert prunable.aim == pytest.approx(1 - 0.4 * cost.dense / (cost.dense - cost.base))


def test_a_budget_below_what_is_never_pruned() -> None:
    _, cost = small()
    with pytest.raises(BudgetError, match="never pruned"):
        Budget(cost, 0.5 * cost.base / cost.dense, prunable=True)


@pytest.mark.parametrize("align", [1, 4])
@pytest.mark.parametrize("target", [0.45, 0.6, 0.9])
def test_fit_meets_the_budget_and_keeps_what_was_learned(target: float, align: int) -> None:
    space, cost = small()
    logits = np.random.default_rng(0).normal(size=(4, space.size))
    logits[0] += 1  # a dearer code
    codes = fit(cost, logits, target, align=align)
    costs = [cost.of(code) / cost.dense for code in codes]
    assert np.mean(costs) == pytest.approx(target, rel=0.01)
    assert costs[0] == max(costs)
    if align == 1:
        for code, row in zip(codes, logits, strict=True):
            depths = slice(space.width_gates, space.size)
            kept = code.keep[depths]
            assert row[depths][kept].min(initial=9) > row[depths][~kept].max(initial=-9)


def test_a_sublayer_that_is_too_large_a_step_stays_where_it_is() -> None:
    space, cost = small()
    logits = np.random.default_rng(0).normal(size=(1, space.size))
    logits[0, space.width_gates :] = 9

    def share(depth: int, logit: float) -> float:
        changed = logits[0].copy()
        changed[depth] = logit
        return cost.of(harden(space, changed + THRESHOLD)) / cost.dense

    with_all = share(space.width_gates, 9)
    largest = min(range(space.width_gates, space.size), key=lambda depth: share(depth, -9))
    logits[0, largest] = 0  # the first to go, where the widths are as they are
    target = (with_all + share(largest, -9)) / 2
    assert with_all > 1.02 * target
    (code,) = fit(cost, logits, target)
    assert cost.of(code) / cost.dense == pytest.approx(target, rel=0.01)


def test_a_budget_no_shift_can_meet() -> None:
    space, cost = small()
    with pytest.raises(BudgetError, match="cannot be brought to"):
        fit(cost, np.zeros((2, space.size)), 0.05)
