"""A comparison of the routings that published experts can be served with, on prompts of one's own.

The published code draws noise for every row of a batch, also when it divides the training pairs among the
experts. So none of its routes is a prompt's alone, and no routing without a batch can be the one that experts
were tuned on. What can be told is which of them agrees more often with a batch of the published code.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aptp.checkpoint.reader import Checkpoint
from aptp.convert.conversion import NOISE_FREE, ROW_0
from aptp.model.gated_router import GatedRouter, published_noise
from aptp.model.prompt_encoder import PromptEncoder
from runtime.errors import CheckpointError

AT_ONCE = 64  # prompts
BATCH = 2048  # prompts, of the published division of training pairs
IN_BATCHES = "published, in batches"


@dataclass(frozen=True, slots=True)
class RouteComparison:
    """How `count` prompts are routed.

    `shares`: of prompts per code, by routing. `disagreement`: share of prompts that the two routings send to
    different codes. `agreement`: share that each of them sends where the published code does in batches.
    """

    count: int
    shares: dict[str, list[float]]
    disagreement: float
    agreement: dict[str, float]

    @property
    def advice(self) -> str:
        """The routing that agrees more often with batches of the published code; without noise if neither
        does.
        """
        return max((NOISE_FREE, ROW_0), key=lambda routing: self.agreement[routing])


@torch.no_grad()
def compare(checkpoint: Checkpoint, prompts: Sequence[str]) -> RouteComparison:
    """Route `prompts` by every routing. Raises CheckpointError unless the checkpoint has the published
    router and an encoder for it.
    """
    router, encoder = checkpoint.router(), checkpoint.prompt_encoder()
    if not isinstance(router, GatedRouter) or encoder is None:
        raise CheckpointError(
            f"{checkpoint.path} was not converted: it has another router than the published"
        )
    pooled = _pooled(encoder, prompts)
    noise = published_noise(checkpoint.space, min(len(prompts), BATCH))
    noises = {NOISE_FREE: torch.zeros_like(noise[:1]), ROW_0: noise[:1], IN_BATCHES: noise}
    routes = {name: _routes(router, pooled, each) for name, each in noises.items()}
    codes = len(checkpoint.record.codes)
    return RouteComparison(
        count=len(prompts),
        shares={name: (each.bincount(minlength=codes) / len(each)).tolist() for name, each in routes.items()},
        disagreement=_share(routes[NOISE_FREE] != routes[ROW_0]),
        agreement={name: _share(routes[name] == routes[IN_BATCHES]) for name in (NOISE_FREE, ROW_0)},
    )


def _pooled(encoder: PromptEncoder, prompts: Sequence[str]) -> Tensor:
    """Return [N, E]: the mean over each prompt's own tokens."""
    parts = []
    for start in range(0, len(prompts), AT_ONCE):
        encoded = encoder(prompts[start : start + AT_ONCE])
        mask = encoded.mask.unsqueeze(-1).to(encoded.hidden.dtype)
        parts.append((encoded.hidden * mask).sum(1) / mask.sum(1))
    return torch.cat(parts)


def _routes(router: GatedRouter, pooled: Tensor, noise: Tensor) -> Tensor:
    """Return the code [N] of each prompt, under `noise` [1 or rows of a batch, D], batch after batch."""
    found = []
    for batch in torch.split(pooled, BATCH):
        router.noise = noise if len(noise) == 1 else noise[: len(batch)]
        tokens = batch.unsqueeze(1)  # pooling one token gives that token
        found.append(router.route(tokens, torch.ones(tokens.shape[:2], dtype=torch.int64)))
    return torch.cat(found)


def _share(flags: Tensor) -> float:
    return float(flags.double().mean())
