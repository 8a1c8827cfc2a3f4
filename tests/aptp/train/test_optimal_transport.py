"""Transport against what it is by definition, and prices that keep its shares for prompts that come alone."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aptp.train.optimal_transport import array, exact, sinkhorn


def scores_of(seed: int, prompts: int, codes: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (prompts, codes))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), iterations=st.integers(1, 6))
def test_sinkhorn_is_alternate_scaling(seed: int, iterations: int) -> None:
    scores = scores_of(seed, 10, 3)
    plan = np.exp(scores / 0.05)
    for _ in range(iterations):
        for k in range(3):
            plan[:, k] *= 1 / 3 / plan[:, k].sum()
        for i in range(10):
            plan[i] *= 1 / 10 / plan[i].sum()
    np.testing.assert_allclose(sinkhorn(scores, 0.05, iterations), plan, rtol=1e-9)


def test_sinkhorn_s_marginals() -> None:
    scores = scores_of(0, 24, 4)
    few, many = sinkhorn(scores, 0.05, 3), sinkhorn(scores, 0.05, 3000)
    for plan in (few, many):
        np.testing.assert_allclose(plan.sum(1), 1 / 24, rtol=1e-12)  # prompts are set last
    np.testing.assert_allclose(many.sum(0), 1 / 4, rtol=1e-6)
    assert np.abs(few.sum(0) - 1 / 4).max() > 1e-3  # three iterations are not balance


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_exact_transport_is_the_best_of_all_even_assignments(seed: int) -> None:
    scores = scores_of(seed, 6, 3)
    even = set(itertools.permutations((0, 0, 1, 1, 2, 2)))
    best = max(even, key=lambda codes: sum(scores[i, code] for i, code in enumerate(codes)))
    plan, prices = exact(scores)
    assert plan.argmax(1).tolist() == list(best)
    np.testing.assert_allclose(plan.sum(0), 1 / 3)
    # The prices explain it: nobody would rather be elsewhere.
    assert (scores + prices)[range(6), best] == pytest.approx((scores + prices).max(1), abs=1e-9)


def test_prices_keep_the_shares_of_prompts_that_come_alone() -> None:
    rng = np.random.default_rng(0)
    liked = np.array([2.0, 0.5, 0.0, -1.0])  # without prices nearly all go to code 0
    seen, unseen = (liked + rng.normal(size=(4096, 4)) for _ in range(2))
    alone = np.bincount(unseen.argmax(1), minlength=4) / 4096
    priced = np.bincount((unseen + exact(seen).prices).argmax(1), minlength=4) / 4096
    assert alone.max() > 0.7
    assert np.abs(priced - 0.25).max() < 0.03


def test_fewer_prompts_than_codes_are_assigned_all_the_same() -> None:
    assert exact(scores_of(0, 2, 5)).plan.shape == (2, 5)
    assert exact(np.zeros((8, 4))).plan.sum() == pytest.approx(1)


def test_scores_become_doubles_without_a_gradient() -> None:
    assert array(torch.ones(3, 2).half().requires_grad_()).dtype == np.float64
