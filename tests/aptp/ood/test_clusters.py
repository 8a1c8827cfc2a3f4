"""Clusters that are there are found, and each is measured by its own spread."""

import pytest
import torch

from aptp.ood.clusters import fit, kmeans
from aptp.ood.threshold import distances
from runtime.errors import UsageError

WIDTH = 6


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clouds(count: int, seed: int = 0) -> torch.Tensor:
    """Two clouds about ±4 of the first axis, one long in the second axis, the other in the third."""
    random = rng(seed)
    points = 0.1 * torch.randn(count, WIDTH, generator=random)
    side = torch.arange(count) % 2
    points[:, 0] += 8.0 * side - 4
    points[torch.arange(count), 1 + side] *= 10
    return points


def test_kmeans_finds_the_clouds() -> None:
    labels = kmeans(clouds(200).double(), 2, rng())
    assert torch.equal(labels != labels[0], torch.arange(200) % 2 == 1)


def test_no_cluster_is_empty_even_where_points_coincide() -> None:
    points = torch.tensor([[0.0], [0.0], [0.0], [1.0]], dtype=torch.float64)
    assert kmeans(points, 3, rng()).unique().tolist() == [0, 1, 2]


def test_distances_are_about_one_where_prompts_lie() -> None:
    found = distances(fit(clouds(4000), 2, rng()), clouds(1000, seed=1))
    assert found.square().mean() == pytest.approx(1, abs=0.05)


def test_a_direction_is_measured_by_the_cluster_it_belongs_to() -> None:
    detector = fit(clouds(4000), 2, rng())
    left, right = torch.zeros(WIDTH), torch.zeros(WIDTH)
    left[0], right[0] = -4.0, 4.0
    left[1] = right[1] = 1.0  # one standard deviation on the left, ten on the right
    near, far = distances(detector, torch.stack([left, right])).tolist()
    assert near < 1 < 3 < far


def test_between_the_clusters_is_far_though_it_is_the_mean_of_all() -> None:
    points = clouds(4000)
    middle = points.mean(0, keepdim=True)
    assert distances(fit(points, 1, rng()), middle).item() < 0.1
    assert distances(fit(points, 2, rng()), middle).item() > 10


def test_the_same_seed_gives_the_same_distance() -> None:
    one, other = (fit(clouds(300), 3, rng(7)).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("pooled", "message"),
    [(torch.eye(5), "5 prompts are too few for 3 clusters"), (torch.ones(9, 4), "nothing tells them")],
)
def test_what_cannot_be_described(pooled: torch.Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit(pooled, 3, rng())
