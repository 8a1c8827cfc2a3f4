"""A learner and a source small enough to train in milliseconds."""

import numpy as np
import torch
from torch import nn

from aptp.data.batches import Batch
from aptp.data.sample import Sample
from aptp.trainer.learner import Learner
from aptp.trainer.recipe import Recipe
from aptp.trainer.rng import Draws, draws

RECIPE = Recipe(steps=12, batch=4, rate=0.05, warmup=3, decay=4, average=0.9)


def drawn(rows: int, seed: int = 0, step: int = 0) -> Draws:
    """The random numbers of a batch that one process has for itself."""
    return draws(seed, step, range(rows), rows)


class Noise:
    """Pictures of noise, different at every position."""

    def __getitem__(self, position: int) -> Sample:
        image = np.random.default_rng(position).integers(0, 256, (2, 2, 3), dtype=np.uint8)
        return Sample(str(position), image)


class Brightness(Learner):
    """Learns to say how bright a picture is, through input noise."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(12, 1)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)

    def forward(self, batch: Batch, step: int, draws: Draws) -> dict[str, torch.Tensor]:
        flat = batch.images.flatten(1)
        noisy = flat + 0.1 * draws.normal(12)
        return {"loss": (self.linear(noisy)[:, 0] - flat.mean(1)).square().mean()}


class Exploding(Brightness):
    """Its loss stops being a number at one step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def forward(self, batch: Batch, step: int, draws: Draws) -> dict[str, torch.Tensor]:
        terms = super().forward(batch, step, draws)
        return {"loss": terms["loss"] * float("nan")} if step == self.at else terms
