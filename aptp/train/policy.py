"""Prompts to gates: the trainable half of stage 1, and how its gradients are led.

Owns which gates a prompt of a training batch runs under. A served prompt's code is decided by
`aptp.train.deployment`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from aptp.errors import TrainingError
from aptp.space.groups import Space
from aptp.train.assignment import array, exact, gathered, own, sinkhorn
from aptp.train.method import Method
from aptp.train.predictor import Predictor, orthogonal_codes
from aptp.train.relaxation import Relaxation, gumbel
from aptp.train.similarity import Similarity

ROUTING_SEED = 0  # of the one noise sample that the published code adds wherever prompts are routed


class Rival(NamedTuple):
    """Another code for each prompt, drawn at random: its hard ``gates`` [B, D], without gradient, and the
    ``lead`` [B] of its score over that of the prompt's own code, with the predictor's gradient.
    """

    gates: Tensor
    lead: Tensor


class Choice(NamedTuple):
    """``gates``: [B, D], what each sample of the UNet runs under. ``built``: [N, D], the hard gates that the
    budget is taken over. ``vectors``: [B, D], what the contrastive loss compares. ``assigned``: [B] codes;
    None in the warm-up. ``rival``: where the predictor learns from the task.
    """

    gates: Tensor
    built: Tensor
    vectors: Tensor
    assigned: Tensor | None = None
    rival: Rival | None = None


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
        gated = self.relaxation(scores, self._noise(scores, rng)) if needed else None
        vectors = self.similarity.prompts(scores, gated)
        if warming_up:
            assert gated is not None, "made above"
            gates = gated.hard if self.method.hard else gated.soft
            # The codes take part with nothing, so that every process of a run has a gradient for them.
            return Choice(gates + 0 * self.codes.sum(), gated.hard, vectors)
        codes = self.relaxation(self.codes, self._noise(self.codes, rng))
        fits = vectors @ self.similarity.codes(codes).detach().T  # [B, K]
        assigned = self._plan(fits).argmax(1)
        gates = (codes.hard if self.method.hard else codes.soft)[assigned]
        built = codes.hard if self.method.balanced else codes.hard[assigned]
        compared = self.method.task_gradient and self.method.codes > 1
        rival = self._rival(fits, assigned, codes.hard.detach(), rng) if compared else None
        return Choice(gates, built, vectors, assigned, rival)

    def _plan(self, fits: Tensor) -> Tensor:
        """The transport plan's rows for the local prompts [B, K]; of every process's prompts together."""
        everyone = array(gathered(fits.detach()))
        if not np.isfinite(everyone).all():
            raise TrainingError(
                "prompts have scores for codes that are not numbers; the last resume state is from before. "
                "Lower the learning rate, in a new --out"
            )
        plan = (
            exact(everyone).plan
            if self.method.exact_transport
            else sinkhorn(everyone, self.method.epsilon, self.method.iterations)
        )
        return own(torch.from_numpy(plan).to(fits), fits.shape[0])

    def _rival(self, fits: Tensor, assigned: Tensor, built: Tensor, rng: torch.Generator) -> Rival:
        codes = fits.shape[1]
        ahead = torch.randint(1, codes, assigned.shape, generator=rng).to(assigned)
        rival = (assigned + ahead) % codes
        scores = [fits.gather(1, code.unsqueeze(1)).squeeze(1) for code in (rival, assigned)]
        return Rival(built[rival], scores[0] - scores[1])

    def _noise(self, like: Tensor, rng: torch.Generator) -> Tensor | None:
        return gumbel(like.shape, rng).to(like) if self.method.noise else None
