"""Loss terms against loops over numbers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aptp.train.losses import budget_loss, contrast_loss, deviation_loss, gain_loss, largest_loss
from tests.aptp.train.spaces import rng


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def rows(vectors: Tensor, temperature: float) -> list[list[float]]:
    found = vectors.tolist()
    weights = [[math.exp(cosine(a, b) / temperature) for b in found] for a in found]
    return [[w / sum(row) for w in row] for row in weights]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), temperature=st.sampled_from([0.3, 1.0]))
def test_contrast(seed: int, temperature: float) -> None:
    architectures, embeddings = (
        torch.randn(5, 7, generator=rng(seed)),
        torch.randn(5, 4, generator=rng(seed + 1)),
    )
    total = 0.0
    for found, wanted in zip(rows(architectures, temperature), rows(embeddings, temperature), strict=True):
        for p, q in zip(found, wanted, strict=True):
            total -= q * math.log(p) + (1 - q) * math.log(1 - p)
    loss = contrast_loss(architectures, embeddings, temperature)
    assert loss.item() == pytest.approx(total / 25, rel=1e-4)


def test_contrast_is_least_where_neighbours_agree_and_finite_where_they_are_certain() -> None:
    embeddings = torch.randn(6, 8, generator=rng())
    rotated = embeddings @ torch.linalg.qr(torch.randn(8, 8, generator=rng(1)))[0]
    other = torch.randn(6, 8, generator=rng(2)).requires_grad_()
    assert contrast_loss(3 * rotated, embeddings, 0.03) < contrast_loss(other, embeddings, 0.03)
    contrast_loss(other, embeddings, 1e-4).backward()
    assert other.grad is not None
    assert torch.isfinite(other.grad).all()


def test_contrast_teaches_architectures_alone() -> None:
    embeddings = torch.randn(4, 8, generator=rng()).requires_grad_()
    architectures = torch.randn(4, 6, generator=rng(1)).requires_grad_()
    contrast_loss(architectures, embeddings, 0.1).backward()
    assert embeddings.grad is None
    assert architectures.grad is not None


def test_the_budget_is_two_sided() -> None:
    ratios = torch.tensor([0.2, 0.6, 0.7])
    assert budget_loss(ratios, 0.5).item() == pytest.approx(0.0, abs=1e-6)
    assert budget_loss(ratios, 0.25).item() == pytest.approx(math.log(2))
    assert budget_loss(ratios, 1.0).item() == pytest.approx(math.log(2))
    for target, sign in ((0.25, 1), (1.0, -1)):
        found = ratios.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(budget_loss(found, target), found)
        assert (gradient.sign() == sign).all()


def test_deviation_and_largest() -> None:
    ratios = torch.tensor([0.2, 0.6, 0.7])
    mean = 0.5
    std = math.sqrt(sum((r - mean) ** 2 for r in (0.2, 0.6, 0.7)) / 2)
    assert deviation_loss(ratios, 0.0).item() == pytest.approx(-std)
    assert deviation_loss(ratios, 0.1).item() == pytest.approx(std - 0.1)
    assert deviation_loss(ratios, 0.5).item() == pytest.approx(0.5 - std)
    assert largest_loss(ratios).item() == pytest.approx(0.3)


def test_codes_of_equal_cost_have_a_gradient_that_is_a_number() -> None:
    for count in (1, 4):
        ratios = torch.full((count,), 0.5, requires_grad=True)
        for spread in (0.0, 0.1):
            (gradient,) = torch.autograd.grad(deviation_loss(ratios, spread), ratios)
            assert torch.equal(gradient, torch.zeros(count))


def test_gain() -> None:
    lead, gain = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([3.0, -4.0, 0.0])
    unit = math.sqrt((9 + 16) / 3)
    expected = ((0.5 - 3 / unit) ** 2 + (-1 + 4 / unit) ** 2 + 4) / 3
    assert gain_loss(lead, gain).item() == pytest.approx(expected, rel=1e-6)
    assert gain_loss(lead, 1000 * gain).item() == pytest.approx(
        expected, rel=1e-6
    )  # whatever the loss's unit
    assert gain_loss(lead, 0 * gain).item() == pytest.approx(5.25 / 3)
