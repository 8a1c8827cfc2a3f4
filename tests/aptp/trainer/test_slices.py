"""Gradients of slices add up to the batch's, and nothing is left behind."""

import pytest
import torch
from torch import nn

from aptp.trainer.slices import SlicedGradient, joined, slices


def test_slices_cover_all_rows():
    assert slices(7, 3) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert slices(7, None) == [slice(0, 7)]
    assert slices(7, 100) == [slice(0, 7)]
    assert slices(0, 3) == slices(0, None) == []
    rows = torch.arange(7)
    assert torch.equal(joined([rows[part] for part in slices(7, 3)]), rows)


@pytest.mark.parametrize("scale", [1.0, 1024.0])
@pytest.mark.parametrize("at_once", [None, 1, 3])
def test_the_gradient_is_the_whole_batch_s(at_once, scale):
    torch.manual_seed(0)
    model, inputs = nn.Linear(5, 2).double(), torch.randn(7, 5, dtype=torch.float64)

    def loss(part):
        return model(inputs[part]).square().sum() / len(inputs)

    whole = torch.autograd.grad(loss(slice(None)), list(model.parameters()))
    gradient = SlicedGradient(model.parameters(), scale)
    for part in slices(len(inputs), at_once):
        gradient.add(loss(part))
    assert all(parameter.grad is None for parameter in model.parameters())
    found = gradient.loss()
    assert found.item() == 0
    (3 * found).backward()
    for parameter, expected in zip(model.parameters(), whole, strict=True):
        torch.testing.assert_close(parameter.grad, 3 * expected)


def test_what_no_slice_used_has_a_gradient_of_zero():
    used, unused = (nn.Parameter(torch.ones(2)) for _ in range(2))
    gradient = SlicedGradient([used, unused])
    gradient.add(used.sum())
    gradient.loss().backward()
    assert used.grad.tolist() == [1, 1]
    assert unused.grad.tolist() == [0, 0]


def test_without_gradients_there_is_nothing_to_add():
    weight = nn.Parameter(torch.ones(2))
    gradient = SlicedGradient([weight])
    with torch.no_grad():
        gradient.add(weight.sum())
    assert not gradient.loss().item()
