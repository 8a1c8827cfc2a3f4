"""The gate policy: the trainable half of stage 1, from prompts to gates.

It decides which gates a prompt of a training batch runs under. A served prompt's code is decided by
`aptp.train.router_fit`.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from aptp.space.groups import Space
from aptp.train.gumbel_sigmoid import Relaxation, gumbel
from aptp.train.method import Method
from aptp.train.optimal_transport import array, exact, sinkhorn
from aptp.train.predictor import Predictor, orthogonal_codes
from aptp.train.similarity import Similarity
from aptp.trainer.distributed import gathered, own
from aptp.trainer.rng import Draws
from runtime.errors import TrainingError


class RivalCode(NamedTuple):
    """Another code for each prompt, drawn at random: its hard `gates` [B, D], without gradient, and the
    `lead` [B] of its score over that of the prompt's own code, with the predictor's gradient.
    """

    gates: Tensor
    lead: Tensor


class CodeChoice(NamedTuple):
    """`gates`: [B, D], what each sample of the UNet runs under. `built`: [N, D], the hard gates that the
    budget is taken over, and `assigned`, [N] codes or None in the warm-up, are those of every process's
    prompts. `vectors`: [B, D], what the contrastive loss compares. `rival`: where the predictor learns
    from the task.
    """

    gates: Tensor
    built: Tensor
    vectors: Tensor
    assigned: Tensor | None = None
    rival: RivalCode | None = None


class GatePolicy(nn.Module):
    """The predictor and the codes, under `method`.

    `centre` [E] and `spread` are the constants of `Predictor`. Everything is computed in float32.
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

    def forward(self, embedding: Tensor, warming_up: bool, draws: Draws) -> CodeChoice:
        """Choose gates for pooled prompts, `embedding` [B, E]."""
        scores = self.predictor(embedding)  # [B, D]
        needed = warming_up or not self.method.linear_routing
        noise = draws.uniform(scores.shape[1]) if self.method.noise and needed else None
        gated = self.relaxation(scores, _gumbel(noise, scores)) if needed else None
        vectors = self.similarity.prompts(scores, gated)
        if warming_up:
            assert gated is not None, "made above"
            gates = gated.hard if self.method.hard else gated.soft
            # The codes take part with nothing, so that every process of a run has a gradient for them.
            return CodeChoice(gates + 0 * self.codes.sum(), gathered(gated.hard), vectors)
        noise = torch.rand(self.codes.shape, generator=draws.rng) if self.method.noise else None
        codes = self.relaxation(self.codes, _gumbel(noise, self.codes))
        fits = vectors @ self.similarity.codes(codes).detach().T  # [B, K]
        everyone = self._plan(gathered(fits.detach()))
        assigned = own(everyone, len(fits))
        gates = (codes.hard if self.method.hard else codes.soft)[assigned]
        built = codes.hard if self.method.balanced else codes.hard[everyone]
        compared = self.method.task_gradient and self.method.codes > 1
        rival = self._rival(fits, assigned, codes.hard.detach(), draws) if compared else None
        return CodeChoice(gates, built, vectors, everyone, rival)

    def _plan(self, fits: Tensor) -> Tensor:
        """Return the code of every process's prompts [N], by their `fits` [N, K]."""
        scores = array(fits)
        if not np.isfinite(scores).all():
            raise TrainingError(
                "prompts have scores for codes that are not numbers; the last resume state is from before. "
                "Lower the learning rate, in a new --out"
            )
        match self.method.transport:
            case "exact":
                scores = exact(scores).plan
            case "sinkhorn":
                scores = sinkhorn(scores, self.method.epsilon, self.method.iterations)
        return torch.from_numpy(scores.argmax(1)).to(fits.device)

    def _rival(self, fits: Tensor, assigned: Tensor, built: Tensor, draws: Draws) -> RivalCode:
        codes = fits.shape[1]
        ahead = draws.integers(1, codes).to(assigned)
        rival = (assigned + ahead) % codes
        scores = [fits.gather(1, code.unsqueeze(1)).squeeze(1) for code in (rival, assigned)]
        return RivalCode(built[rival], scores[0] - scores[1])


def _gumbel(uniform: Tensor | None, like: Tensor) -> Tensor | None:
    return None if uniform is None else gumbel(uniform).to(like)
