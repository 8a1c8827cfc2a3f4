"""Gates: where they act, what gradient they get, and what they refuse."""

import pytest
import torch

from aptp.model.gates import GatedUNet, SelectDepth
from aptp.space.discover import discover
from runtime.errors import SpaceError
from tests.geometries import make_inputs, make_unet


def supernet(geometry: str = "sd2") -> GatedUNet:
    unet = make_unet(geometry)
    return GatedUNet(unet, discover(unet))


def test_every_open_gate_gets_a_gradient() -> None:
    model = supernet()
    gates = torch.ones(2, model.space.size, dtype=torch.float64, requires_grad=True)
    model(**make_inputs(model.unet), gates=gates).square().sum().backward()
    assert gates.grad is not None
    assert (gates.grad != 0).all()


def test_gradients_agree_with_finite_differences() -> None:
    model = supernet()
    inputs = make_inputs(model.unet, batch=1)
    gates = torch.full((1, model.space.size), 0.7, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(**inputs, gates=gates).sum(), gates)
    for column in (0, 40, model.space.width_gates - 1, model.space.width_gates, model.space.size - 1):
        step = torch.zeros_like(gates)
        step[0, column] = 1e-5
        with torch.no_grad():
            up, down = (model(**inputs, gates=gates + s).sum() for s in (step, -step))
        assert gradient[0, column].item() == pytest.approx(((up - down) / 2e-5).item(), rel=1e-5, abs=1e-7)


def test_gradient_checkpointing_sees_the_same_gates() -> None:
    plain, checkpointed = supernet(), supernet()
    checkpointed.unet.enable_gradient_checkpointing()
    checkpointed.unet.train()
    gradients = []
    for model in (plain, checkpointed):
        gates = torch.full((2, model.space.size), 0.6, dtype=torch.float64, requires_grad=True)
        model(**make_inputs(model.unet), gates=gates).sum().backward()
        gradients.append(gates.grad)
    torch.testing.assert_close(*gradients)


def test_a_dropped_branch_that_overflows_does_not_poison_the_sum() -> None:
    depth = torch.tensor([0.0, 1.0]).view(2, 1).requires_grad_()
    block, identity = torch.tensor([[torch.inf], [2.0]]), torch.tensor([[5.0], [torch.nan]])
    chosen = SelectDepth.apply(depth, block, identity)
    assert chosen.flatten().tolist() == [5.0, 2.0]


def test_a_soft_resnet_gate_is_not_cancelled_by_the_norm() -> None:
    # Before norm2 a gate on a whole GroupNorm group is normalised away; here half a gate is half the effect.
    model = supernet()
    inputs = make_inputs(model.unet, batch=1)
    gates = torch.ones(1, model.space.size, dtype=torch.float64)
    with torch.no_grad():
        full = model(**inputs, gates=gates)
        gates[0, 0] = 0.5
        half = model(**inputs, gates=gates)
        gates[0, 0] = 0.0
        none = model(**inputs, gates=gates)
    ratio = (full - half).norm() / (full - none).norm()
    assert 0.3 < ratio < 0.7


@pytest.mark.parametrize("shape", [(1, 10), (3, None), (2, 0)])
def test_gates_must_fit_batch_and_space(shape: tuple[int, int | None]) -> None:
    model = supernet()
    rows, columns = shape
    gates = torch.ones(rows, model.space.size if columns is None else columns, dtype=torch.float64)
    with pytest.raises(SpaceError, match="do not fit a batch of 2"):
        model(**make_inputs(model.unet), gates=gates)
