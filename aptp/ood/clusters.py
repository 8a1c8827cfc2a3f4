"""Training prompts as a few Gaussians: k-means, then a covariance for each cluster."""

import torch
from torch import Tensor

from aptp.model.mahalanobis import MahalanobisDetector
from runtime.errors import UsageError

ROUNDS, ATTEMPTS = 50, 8
# Added to every variance, in units of the mean variance of all prompts. Directions in which a cluster's
# prompts do not differ are where prompts of another kind show; below this they would show float16's rounding.
RIDGE = 1e-4


def fit(pooled: Tensor, clusters: int, rng: torch.Generator) -> MahalanobisDetector:
    """Return the distance from the prompts `pooled` [N, E], which is about 1 for themselves.

    Raises UsageError for fewer prompts than clusters, or prompts that are all alike.
    """
    points = pooled.double()
    count, width = points.shape
    if count < 2 * clusters:
        raise UsageError(f"{count} prompts are too few for {clusters} clusters; give more prompts")
    floor = RIDGE * points.var(0).mean()
    if not floor > 0:
        raise UsageError("the embeddings of all prompts are the same; nothing tells them from others")
    detector = MahalanobisDetector(width, clusters)
    labels = kmeans(points, clusters, rng)
    for cluster in range(clusters):
        own = points[labels == cluster]
        centre = own.mean(0)
        variances, axes = torch.linalg.eigh((own - centre).T @ (own - centre) / len(own))
        scales = (variances.clamp(min=0) + floor).rsqrt() / width**0.5
        detector.centres[cluster] = centre
        detector.whiten[cluster] = scales.unsqueeze(1) * axes.T
    return detector.eval()


def kmeans(points: Tensor, clusters: int, rng: torch.Generator) -> Tensor:
    """Return the cluster [N] of each of `points` [N, E], none empty: the tightest of several attempts (Lloyd
    1982, seeded as k-means++).
    """
    found = [_attempt(points, clusters, rng) for _ in range(ATTEMPTS)]
    return min(found, key=lambda attempt: attempt[0])[1]


def _attempt(points: Tensor, clusters: int, rng: torch.Generator) -> tuple[float, Tensor]:
    """Return the mean squared distance from the centres, and labels [N]."""
    centres = points[torch.randint(len(points), (1,), generator=rng)]
    while len(centres) < clusters:
        nearest = torch.cdist(points, centres).amin(1).square()
        weights = nearest if nearest.any() else torch.ones_like(nearest)
        centres = torch.cat([centres, points[torch.multinomial(weights, 1, generator=rng)]])
    for _ in range(ROUNDS):
        distances = torch.cdist(points, centres)
        labels = distances.argmin(1)
        missing = torch.bincount(labels, minlength=clusters) == 0
        # A cluster that lost its points takes over the one that is worst off.
        for cluster in missing.nonzero().flatten().tolist():
            worst = distances.gather(1, labels.unsqueeze(1)).argmax()
            labels[worst], distances[worst] = cluster, 0.0
        found = torch.stack([points[labels == cluster].mean(0) for cluster in range(clusters)])
        if torch.equal(found, centres):
            break
        centres = found
    return float((points - centres[labels]).square().sum(1).mean()), labels
