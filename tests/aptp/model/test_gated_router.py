"""The published router, against the same rule written out gate by gate."""

import math

import pytest
import torch

from aptp.model.gated_router import GatedRouter
from aptp.space.discover import discover
from aptp.space.groups import Space
from tests.geometries import make_unet

WIDTH, CODES = 10, 5


@pytest.fixture(scope="module")
def space() -> Space:
    return discover(make_unet("sd2"))


@pytest.fixture
def router(space: Space) -> GatedRouter:
    rng = torch.Generator().manual_seed(0)
    made = GatedRouter(WIDTH, space, CODES)
    with torch.no_grad():
        made.predictor.weight.normal_(std=2.0, generator=rng)
        made.predictor.bias.normal_(mean=-3.0, std=2.0, generator=rng)
        made.codes.uniform_(generator=rng)
    made.noise.normal_(generator=rng)
    made.ranks.copy_(torch.randperm(len(space.depths), generator=rng))
    return made.eval()


def gates(router: GatedRouter, space: Space, scores: list[float]) -> list[float]:
    """Soft gates of one prompt: widths with their lift, then depths by position."""

    def gate(score: float, column: int) -> float:
        value = (score + float(router.noise[column]) + 3) / 0.4
        return 1 / (1 + math.exp(-value)) if value > -700 else 0.0

    found: list[float] = []
    for _, columns in space.columns():
        part = [gate(scores[i], i) for i in range(columns.start, columns.stop)]
        if max(part) < 0.5:
            part[0] += 0.5
        found += part
    depths = scores[space.width_gates :]
    powers = [math.exp(score - max(depths)) for score in depths]
    by_rank = []
    for rank in range(len(depths)):
        share = sum(powers[: len(depths) - rank]) / sum(powers)
        logit = math.log(share + 1e-6) - math.log1p(-(share - 1e-6))
        by_rank.append(gate(logit, space.width_gates + rank))
    return found + [by_rank[int(rank)] for rank in router.ranks]


def vector(space: Space, soft: list[float]) -> list[float]:
    """Return the vector that is compared: each sublayer's gates by its depth gate, everything else hard."""
    depths = soft[space.width_gates :]
    found: list[float] = []
    for (group, columns), owner in zip(space.columns(), space.owner, strict=True):
        for i in range(columns.start, columns.stop):
            value = float(soft[i] >= 0.5) if owner is None else soft[i] * depths[owner]
            found.append(value / math.sqrt(group.gates))
    return found + [float(depth >= 0.5) for depth in depths]


def test_the_published_rule(router: GatedRouter, space: Space) -> None:
    prompts = torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(1))
    scores = router.predictor(prompts).tolist()
    wanted = torch.tensor([vector(space, gates(router, space, row)) for row in scores])
    torch.testing.assert_close(router.compared(prompts), wanted, rtol=1e-4, atol=1e-5)
    # The case is worth its name: sublayers dropped and kept, groups lifted.
    assert 0 < wanted[:, space.width_gates :].mean() < 1
    lifted = [max(row[c.start : c.stop]) < -3.0 for row in scores for _, c in space.columns()]
    assert any(lifted)


def test_similarities_are_cosines(router: GatedRouter) -> None:
    embedding = torch.randn(3, 4, WIDTH, generator=torch.Generator().manual_seed(2))
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])
    similarity = router(embedding, mask)
    one = router.compared(embedding[1, :2].mean(0, keepdim=True))
    wanted = torch.nn.functional.cosine_similarity(one, router.codes)
    torch.testing.assert_close(similarity[1], wanted)


def test_a_prompt_goes_where_it_goes_whatever_else_is_in_the_batch(router: GatedRouter) -> None:
    embedding = torch.randn(40, 4, WIDTH, generator=torch.Generator().manual_seed(3))
    mask = torch.ones(40, 4)
    alone = [int(router.route(embedding[i : i + 1], mask[:1])) for i in range(40)]
    assert router.route(embedding, mask).tolist() == alone
    assert len(set(alone)) > 1


def test_a_code_is_compared_as_a_prompt_with_its_gates(router: GatedRouter, space: Space) -> None:
    soft = torch.rand(2, space.size, generator=torch.Generator().manual_seed(4))
    wanted = torch.tensor([vector(space, row) for row in soft.tolist()])
    torch.testing.assert_close(router.weighed(soft), wanted)
