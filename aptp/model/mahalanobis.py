"""The Mahalanobis distance of a prompt from the training prompts of a router.

This is the distance alone: who measures it on which prompts is `aptp.ood`, what follows from it is up to the
runtime. Training prompts are described as a few clusters, each with a covariance of its own. One cluster for
all of them does not do: an encoder that was trained on little maps whatever it does not know near the mean
of all it knows, which is where no prompt of its training lies.
"""

import torch
from torch import Tensor, nn

from aptp.model.router import Router


class MahalanobisDetector(nn.Module):
    """A detector of out-of-distribution prompts.

    `centres` [M, E] of the clusters and `whiten` [M, E, E], which make a cluster's prompts, as columns of
    differences from its centre, uncorrelated and of length 1 on average.
    """

    def __init__(self, width: int, clusters: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.zeros(clusters, width), requires_grad=False)
        self.whiten = nn.Parameter(torch.zeros(clusters, width, width), requires_grad=False)

    def forward(self, embedding: Tensor, attention_mask: Tensor) -> Tensor:
        """Map token embeddings [B, T, E] and their mask [B, T] to distances [B] (Mahalanobis, over √E) from
        the nearest cluster: about 1 for prompts like those of the training.
        """
        mask = attention_mask.to(embedding.dtype).unsqueeze(-1)
        return self.of((embedding * mask).sum(1) / mask.sum(1))

    def of(self, pooled: Tensor) -> Tensor:
        """Return the distances [B] of pooled prompts [B, E]."""
        apart = pooled.unsqueeze(0) - self.centres.unsqueeze(1)  # [M, B, E]
        lengths: Tensor = (apart @ self.whiten.mT).square().sum(-1).sqrt()  # [M, B]
        return lengths.amin(0)


class GuardedRouter(nn.Module):
    """A router that gives distances [B] beside its similarities [B, K]."""

    def __init__(self, router: Router, detector: MahalanobisDetector) -> None:
        super().__init__()
        self.router, self.detector = router, detector

    def forward(self, embedding: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.router(embedding, attention_mask), self.detector(embedding, attention_mask)
