"""Scores to gates: the rules of every architecture, with gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aptp.space.architecture import harden
from aptp.train.gumbel_sigmoid import Relaxation, gumbel, keeping_order
from tests.aptp.train.spaces import ours, published, rng, small, theirs


@pytest.mark.parametrize("align", [1, 4, 24])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), level=st.floats(0, 1))
def test_legal_gates_are_those_of_harden(align: int, seed: int, level: float) -> None:
    space, _ = small()
    # Few distinct values, so that ties are common.
    scores = np.random.default_rng(seed).integers(0, 12, (3, space.size)) / 12 * level
    found = Relaxation(space, ours(align=align)).legal(torch.from_numpy(scores))
    for row, code in zip(found, scores, strict=True):
        np.testing.assert_array_equal(row.numpy() == 1, harden(space, code, align=align).keep)


@pytest.mark.parametrize("method", [ours(), theirs()], ids=["ours", "theirs"])
def test_hard_gates_are_exactly_hard_and_have_the_soft_gradient(method: object) -> None:
    space, _ = small()
    relaxation = Relaxation(space, method)
    scores = torch.randn(5, space.size, generator=rng()).requires_grad_()
    gates = relaxation(scores)
    assert set(gates.hard.unique().tolist()) == {0.0, 1.0}
    weights = torch.randn(gates.hard.shape, generator=rng(1))
    hard, soft = (torch.autograd.grad((part * weights).sum(), scores, retain_graph=True)[0] for part in gates)
    assert torch.equal(hard, soft)
    assert (soft != 0).float().mean() > 0.8  # some are certain, to float32


def test_ours_is_the_sigmoid_and_theirs_lifts_the_first_gate_of_an_empty_group() -> None:
    space, _ = small()
    scores = torch.full((1, space.size), -9.0)
    soft = Relaxation(space, ours(offset=2.0, temperature=0.5))(scores).soft
    torch.testing.assert_close(soft, torch.full_like(soft, 1 / (1 + math.exp(14))))
    gates = Relaxation(space, theirs(ordered_depth=False))(scores)
    for _, columns in space.columns():
        assert gates.hard[0, columns].tolist() == [1.0] + [0.0] * (columns.stop - columns.start - 1)
        assert 0.5 < gates.soft[0, columns][0] < 0.51
    assert (gates.hard[0, space.width_gates :] == 0).all()


def test_a_group_keeps_its_best_gate() -> None:
    space, _ = small()
    scores = -9 - torch.rand(2, space.size, generator=rng())
    hard = Relaxation(space, ours())(scores).hard
    for _, columns in space.columns():
        assert hard[:, columns].sum(1).tolist() == [1.0, 1.0]
        assert torch.equal(hard[:, columns].argmax(1), scores[:, columns].argmax(1))


def test_sublayers_close_in_the_published_order() -> None:
    # d0.res1 d0.attn1 d1.res1 … u3.attn2 by storage; the published code lists them from kept longest on.
    assert keeping_order(published()) == [i % 14 for i in (-1, -2, 0, 1, -3, -4, 2, 3, -5, -6, 4, 5, -7, 6)]


def test_ordered_depths_fall_along_the_order_and_the_first_never_closes() -> None:
    space = published()
    scores = 3 * torch.randn(4, space.size, generator=rng())
    soft = Relaxation(space, theirs())(scores).soft[:, space.width_gates :][:, keeping_order(space)]
    assert (soft.diff(dim=1) <= 0).all()
    assert (soft[:, 0] > 0.999).all()
    free = Relaxation(space, theirs(ordered_depth=False))(scores).soft[:, space.width_gates :]
    assert (free[:, keeping_order(space)].diff(dim=1) > 0).any()


def test_noise_is_one_sided_gumbel() -> None:
    noise = gumbel(torch.rand(200_000, generator=rng()))
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.01)
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, rel=0.02)
    assert torch.isfinite(gumbel(torch.tensor([0.0, 1.0]))).all()


def test_noise_shifts_scores() -> None:
    space, _ = small()
    relaxation, noise = Relaxation(space, theirs(ordered_depth=False)), torch.randn(1, small()[0].size)
    torch.testing.assert_close(
        relaxation(torch.zeros(1, space.size), noise).soft, relaxation(noise.clone()).soft
    )
