"""Where prompts and codes meet, against loops."""

import pytest
import torch
from torch import Tensor

from aptp.model.gate_space import GateSpace
from aptp.space.groups import Space
from aptp.train.gumbel_sigmoid import SampledGates
from aptp.train.similarity import Similarity
from tests.aptp.train.spaces import rng, small


def gates(count: int) -> SampledGates:
    soft = torch.rand(count, small()[0].size, generator=rng())
    return SampledGates(soft, (soft > 0.5).float())


def normalised(space: Space, widths: Tensor, depths: Tensor) -> Tensor:
    """Width-depth normalisation of one code, entry by entry."""
    found = []
    for (group, columns), owner in zip(space.columns(), space.owner, strict=True):
        depth = 1.0 if owner is None else depths[owner].item()
        found += [widths[c].item() * depth / group.gates**0.5 for c in range(columns.start, columns.stop)]
    closing = widths[space.width_gates :].tolist()
    return torch.tensor(found + [gate / len(closing) ** 0.5 for gate in closing])


def test_the_published_space() -> None:
    space, _ = small()
    found = gates(3)
    similarity = Similarity(space, linear=False)
    for prompt, code, soft, hard in zip(
        similarity.prompts(found.soft, found), similarity.codes(found), found.soft, found.hard, strict=True
    ):
        naive = GateSpace(space)(soft[None], hard[None])[0]
        torch.testing.assert_close(prompt, naive / naive.norm())
        torch.testing.assert_close(code, prompt)


def test_the_linear_space() -> None:
    space, _ = small()
    found, scores = gates(3), torch.randn(3, space.size, generator=rng(1))
    similarity = Similarity(space, linear=True)
    torch.testing.assert_close(similarity.prompts(scores, None), scores * similarity.scale)
    for code, hard in zip(similarity.codes(found), found.hard, strict=True):
        closed = normalised(space, hard, hard[space.width_gates :]) / similarity.scale  # gates that act
        naive = (2 * closed - 1) * similarity.scale
        torch.testing.assert_close(code, naive / naive.norm())


@pytest.mark.parametrize("linear", [True, False])
def test_each_group_counts_once_whatever_its_size(linear: bool) -> None:
    space, _ = small()
    everything = SampledGates(*[torch.ones(1, space.size)] * 2)
    vector = Similarity(space, linear=linear).codes(everything)[0]
    shares = [vector[columns].square().sum().item() for _, columns in space.columns()]
    depths = vector[space.width_gates :].square()
    shares += [depths.sum().item()] if linear else depths.tolist()
    assert shares == pytest.approx([1 / len(shares)] * len(shares), rel=1e-5)
