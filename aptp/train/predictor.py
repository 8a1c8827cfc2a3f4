"""The models that stage 1 trains: the architecture predictor and the table of codes."""

import torch
from torch import Tensor, nn

from aptp.space.groups import Space


class Predictor(nn.Module):
    """The linear map of prompt embeddings [B, E] to scores [B, D]: orthogonal for each width group and for
    the depth gates together, bias zero.

    `centre` [E] is subtracted from embeddings, which are then divided by `spread`; both are constants.
    """

    centre: Tensor

    def __init__(self, space: Space, centre: Tensor, spread: float, rng: torch.Generator) -> None:
        super().__init__()
        width = centre.numel()
        self.weight = nn.Parameter(torch.empty(space.size, width))
        self.bias = nn.Parameter(torch.zeros(space.size))
        self.register_buffer("centre", centre, persistent=False)
        self.spread = spread
        groups = [columns for _, columns in space.columns()] + [slice(space.width_gates, space.size)]
        with torch.no_grad():
            for columns in groups:
                nn.init.orthogonal_(self.weight[columns], generator=rng)

    def forward(self, embedding: Tensor) -> Tensor:
        return nn.functional.linear(self.standard(embedding), self.weight, self.bias)

    def standard(self, embedding: Tensor) -> Tensor:
        return (embedding - self.centre) / self.spread

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return weight [D, E] and bias [D] of the same map on embeddings that are not standardised."""
        weight = self.weight.detach() / self.spread
        return weight, self.bias.detach() - weight @ self.centre


def orthogonal_codes(codes: int, size: int, rng: torch.Generator) -> nn.Parameter:
    """Return [K, D] with orthonormal rows."""
    return nn.Parameter(nn.init.orthogonal_(torch.empty(codes, size), generator=rng))


def standard(embeddings: Tensor) -> tuple[Tensor, float]:
    """Return the mean [E] of `embeddings` [N, E], and the root mean square length of what is left."""
    centre = embeddings.mean(0)
    return centre, float((embeddings - centre).square().sum(1).mean().sqrt())
