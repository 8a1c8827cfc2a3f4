"""Prompts to gates: the trainable half of stage 1, and how its gradients are led.

Owns which gates a prompt of a training batch runs under. A served prompt's code is decided by
`aptp.train.deployment`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from aptp.space.groups import Space
from aptp.train import assignment
from aptp.train.method import Method
from aptp.train.predictor import Predictor, orthogonal_codes
from aptp.train.relaxation import Relaxation, gumbel
from aptp.train.similarity import Similarity

ROUTING_SEED = 0  # of the one noise sample that the published code adds wherever prompts are routed


class Choice(NamedTuple):
    """``gates``: [B, D], what each sample of the UNet runs under. ``built``: [N, D], the hard gates that the
    budget is taken over. ``vectors``: [B, D], what the contrastive loss compares. ``assigned``: [B] codes, or
    None in the warm-up.
    """

    gates: Tensor
    built: Tensor
    vectors: Tensor
    assigned: Tensor | None


class Policy(nn.Module):
    """The predictor and the codes, under ``method``.

    ``centre`` [E] and ``spread`` are the constants of :class:`Predictor`. Everything is computed in float32.
    """

    def __init__(self, space: Space, method: Method, centre: Tensor, spread: float, seed: int) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.method = method
        self.space = space
        self.predictor = Predictor(space, centre, spread, rng)
        self.codes = orthogonal_codes(method.codes, space.size, rng)
        self.relaxation = Relaxation(space, method)
        self.similarity = Similarity(space, linear=method.linear_routing)

    def forward(self, embedding: Tensor, warming_up: bool, rng: torch.Generator) -> Choice:
        """``embedding``: pooled prompts [B, E]."""
        scores = self.predictor(embedding)  # [B, D]
        needed = warming_up or not self.method.linear_routing
        own = self.relaxation(scores, self._noise(scores, rng)) if needed else None
        vectors = self.similarity.prompts(scores, own)
        if warming_up:
            assert own is not None, "made above"
            # The codes take part with nothing, so that every process of a run has a gradient for them.
            gates = own.hard if self.method.hard else own.soft
            return Choice(gates + 0 * self.codes.sum(), own.hard, vectors, None)
        codes = self.relaxation(self.codes, self._noise(self.codes, rng))
        fits = vectors @ self.similarity.codes(codes).detach().T  # [B, K]
        plan, prices = self._transport(fits)
        assigned = plan.argmax(1)
        gates = (codes.hard if self.method.hard else codes.soft)[assigned]
        if self.method.task_gradient:
            gates = gates + self._mixture(fits, prices) @ codes.hard.detach()
        built = codes.hard if self.method.balanced else codes.hard[assigned]
        return Choice(gates, built, vectors, assigned)

    def _transport(self, fits: Tensor) -> tuple[Tensor, Tensor]:
        """The plan's rows for the local prompts [B, K], and the prices [K]."""
        everyone = assignment.array(assignment.gathered(fits.detach()))
        found = (
            assignment.exact(everyone)
            if self.method.exact_transport
            else assignment.sinkhorn(everyone, self.method.epsilon, self.method.iterations)
        )
        plan = torch.from_numpy(found.plan).to(fits)
        return assignment.own(plan, fits.shape[0]), torch.from_numpy(found.prices).to(fits)

    def _mixture(self, fits: Tensor, prices: Tensor) -> Tensor:
        """Zero [B, K], with the gradient of softly assigning each prompt at those prices.

        A prompt for which the loss would fall under another code's gates (to first order) then moves towards
        that code; the prices see to it that another prompt makes room.
        """
        soft = torch.softmax((fits + prices) / self.method.epsilon, dim=1)
        return soft - soft.detach()

    def _noise(self, like: Tensor, rng: torch.Generator) -> Tensor | None:
        return gumbel(like.shape, rng).to(like) if self.method.noise else None
