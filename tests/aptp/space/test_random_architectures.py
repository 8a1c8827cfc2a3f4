"""Random architectures hit their budget and depend on nothing but the seed."""

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from aptp.presets import PRESETS
from aptp.space.architecture import full
from aptp.space.cost import LinearCost, mac_cost
from aptp.space.discover import discover
from aptp.space.random_architectures import draw
from runtime.errors import BudgetError


@pytest.fixture(scope="module", params=["tiny", "sd21"])
def cost(request: pytest.FixtureRequest) -> LinearCost:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**PRESETS[request.param].unet)
    return mac_cost(unet.config, discover(unet), 16, 16)


@pytest.mark.parametrize("budget", [0.5, 0.62, 0.74, 0.85])
@pytest.mark.parametrize("seed", range(3))
def test_budget_is_met(cost: LinearCost, budget: float, seed: int) -> None:
    architecture = draw(cost, budget, np.random.default_rng(seed))
    assert cost.of(architecture) / cost.dense == pytest.approx(budget, abs=0.006)


def test_the_seed_decides(cost: LinearCost) -> None:
    first, second, other = (draw(cost, 0.6, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_a_full_budget_is_dense(cost: LinearCost) -> None:
    assert draw(cost, 1.0, np.random.default_rng(0)) == full(cost.space)


@pytest.mark.parametrize("budget", [0.0, -1.0, 1.5, float("nan"), 0.01])
def test_budgets_out_of_reach(cost: LinearCost, budget: float) -> None:
    with pytest.raises(BudgetError, match="budget|costs"):
        draw(cost, budget, np.random.default_rng(0))
