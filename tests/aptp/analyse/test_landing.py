"""Codes, margins and members are the router's."""

import numpy as np
import torch

from aptp.analyse.landing import Landing, quantiles
from aptp.model.router import Router
from aptp.ood.clusters import fit

WIDTH = 6


def landed(codes: int = 3, count: int = 40) -> tuple[Landing, Router, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    router = Router(WIDTH, 5, codes)
    torch.nn.init.normal_(router.codes, generator=rng)
    torch.nn.init.normal_(router.predictor.weight, generator=rng)
    pooled = torch.randn(count, WIDTH, generator=rng)
    prompts = [f"prompt {i % 30}" for i in range(count)]
    pooled[30:] = pooled[: count - 30]
    return Landing.of("some", prompts, pooled, router, fit(pooled, 2, rng)), router, pooled


def test_each_prompt_lands_as_alone() -> None:
    landing, router, pooled = landed()
    alone = [int(router.route(one.view(1, 1, -1), torch.ones(1, 1))) for one in pooled]
    assert landing.codes.tolist() == alone
    assert landing.counts == [alone.count(code) for code in range(3)]
    assert landing.distances.shape == (40,)


def test_margins_are_over_the_next_best() -> None:
    landing, _, _ = landed()
    for similarities, margin in zip(landing.similarities, landing.margins, strict=True):
        assert margin == sorted(similarities)[-1] - sorted(similarities)[-2]
    assert np.isinf(landed(codes=1)[0].margins).all()


def test_members_are_different_prompts_the_clearest_first() -> None:
    landing, _, _ = landed()
    every = [landing.members(code) for code in range(3)]
    assert sorted(landing.prompts[i] for own in every for i in own) == sorted(set(landing.prompts))
    for code, own in enumerate(every):
        assert all(landing.codes[i] == code for i in own)
        assert landing.margins[own].tolist() == sorted(landing.margins[own], reverse=True)


def test_quantiles_pass_over_what_is_infinite() -> None:
    assert quantiles(np.array([np.inf, 1.0, 3.0]))["p50"] == 2
    assert quantiles(np.array([np.inf])) == {}
