"""The specification itself: what it says of plain cases, and its gradients against autograd."""

import pytest
import torch
import torch.nn.functional as F

from kernels.attention import reference
from tests.kernels.attention.problems import Problem, problem

SCALE = 32**-0.5


def wide(lengths: list[int] | None = None) -> Problem:
    return problem(5, 7, gates=((1.0, 0.0), (0.5, -2.0)), lengths=lengths).wide()


def test_is_softmax_attention_times_gates() -> None:
    given = wide()
    plain = F.scaled_dot_product_attention(given.q, given.k, given.v)
    out, _ = reference.attend(*given.tensors, None, SCALE)
    torch.testing.assert_close(out, plain * given.gates[:, :, None, None])


def test_lengths_cut_the_keys() -> None:
    given = wide([3, 9])
    out, _ = reference.attend(*given.tensors, given.lengths, SCALE)
    cut, _ = reference.attend(given.q, given.k[:, :, :3], given.v[:, :, :3], given.gates, None, SCALE)
    uncut, _ = reference.attend(*given.tensors, None, SCALE)
    torch.testing.assert_close(out, torch.stack((cut[0], uncut[1])))


def test_sums_are_those_of_the_exponentials() -> None:
    given = wide()
    _, sums = reference.attend(*given.tensors, None, SCALE)
    exponentials = (SCALE * given.q @ given.k.mT).exp().sum(-1)
    torch.testing.assert_close(sums.exp2()[0, 0], exponentials[0, 0])
    assert (sums[0, 1] == 0).all()


@pytest.mark.parametrize("lengths", [None, [4, 0]])
def test_gradients_are_those_of_autograd(lengths: list[int] | None) -> None:
    given = wide(lengths)
    leaves = [x.requires_grad_() for x in given.tensors]
    out, _ = reference.attend(*leaves, given.lengths, SCALE)
    grad = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = torch.autograd.grad(out, leaves, grad)
    found = reference.gradients(grad, *given.tensors, given.lengths, scale=SCALE, straight_through=False)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_straight_through_gives_closed_gates_the_derivative_at_zero() -> None:
    given = wide()
    grad = torch.randn(given.q.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    *_, found = reference.gradients(grad, *given.tensors, None, scale=SCALE, straight_through=True)
    step = torch.zeros_like(given.gates)
    step[0, 1] = 1e-6
    up, down = (
        reference.attend(given.q, given.k, given.v, given.gates + s, None, SCALE)[0] for s in (step, -step)
    )
    slope = ((up - down) * grad).sum() / 2e-6
    assert found[0, 1].item() == pytest.approx(slope.item(), rel=1e-6)


@pytest.mark.parametrize("straight_through", [False, True])
def test_what_is_closed_or_beyond_may_hold_anything(straight_through: bool) -> None:
    given = problem(5, 7, gates=((1.0, 0.0), (0.0, 1.0), (0.0, 1.0)), lengths=[3, 9, 0]).wide()
    grad = torch.ones_like(given.q)
    options = {"scale": SCALE, "straight_through": straight_through}
    wanted = reference.gradients(grad, *given.tensors, given.lengths, **options)
    for x in (given.k, given.v):
        x[0, :, 3:] = torch.nan
        x[2] = torch.nan
    if not straight_through:
        for x in (given.q, given.k, given.v):
            x[given.gates == 0] = torch.nan
    found = reference.gradients(grad, *given.tensors, given.lengths, **options)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)
    assert (found[3][2] == 0).all()  # no keys, no gradient
    assert reference.attend(*given.tensors, given.lengths, SCALE)[0].isfinite().all()
