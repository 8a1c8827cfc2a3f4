"""Weights of stage 2's loss that cannot be meant are refused before anything is loaded."""

import math

import pytest

from aptp.finetune.weights import ExpertLossWeights
from runtime.errors import UsageError


@pytest.mark.parametrize("weight", [-0.1, math.inf, math.nan])
def test_a_weight_is_finite_and_not_negative(weight):
    with pytest.raises(UsageError, match="the weight of output is .*; it must be 0 or more"):
        ExpertLossWeights(output=weight)


def test_something_has_to_be_learned():
    with pytest.raises(UsageError, match="all weights of the loss are 0"):
        ExpertLossWeights(0, 0, 0)
