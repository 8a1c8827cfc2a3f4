"""Distances by their definition, and beside a router that they do not change."""

import torch

from aptp.model.mahalanobis import GuardedRouter, MahalanobisDetector
from aptp.model.router import Router

WIDTH, CLUSTERS = 5, 3


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def detector() -> MahalanobisDetector:
    made = MahalanobisDetector(WIDTH, CLUSTERS)
    made.load_state_dict({"centres": drawn(CLUSTERS, WIDTH), "whiten": drawn(CLUSTERS, WIDTH, WIDTH)})
    return made


def test_the_nearest_cluster_counts() -> None:
    made, prompts = detector(), drawn(7, WIDTH)
    wanted = [
        min(float((made.whiten[m] @ (prompt - made.centres[m])).norm()) for m in range(CLUSTERS))
        for prompt in prompts
    ]
    torch.testing.assert_close(made.of(prompts), torch.tensor(wanted))


def test_padding_and_batch_mates_do_not_count() -> None:
    made, tokens = detector(), drawn(2, 4, WIDTH)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    disturbed = tokens.clone()
    disturbed[0, 3] = 1e3
    found = made(tokens, mask)
    assert torch.equal(made(disturbed, mask), found)
    torch.testing.assert_close(found[0], made.of(tokens[:1, :3].mean(1))[0])


def test_a_guard_leaves_the_routes_alone() -> None:
    router, tokens, mask = Router(WIDTH, 4, 2), drawn(3, 4, WIDTH), torch.ones(3, 4)
    torch.nn.init.normal_(router.codes, generator=torch.Generator().manual_seed(0))
    similarity, distance = GuardedRouter(router, detector())(tokens, mask)
    assert torch.equal(similarity, router(tokens, mask))
    assert torch.equal(distance, detector()(tokens, mask))
