"""The interface of what a training loop trains."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from aptp.data.batches import Batch
from aptp.trainer.rng import Draws


class Learner(nn.Module):
    """The models of a stage; parameters with `requires_grad` are optimised, averaged and saved, the rest is
    frozen.

    `loss_scale`: what the loop will multiply the loss by. A learner that computes gradients itself does so
    under the same scale.
    """

    loss_scale = 1.0

    @abstractmethod
    def forward(self, batch: Batch, step: int, draws: Draws) -> dict[str, torch.Tensor]:
        """Return scalars to log, the same names in every process; they are averaged over processes, and the
        average of the one called `loss` is minimised. Nothing is random but `draws`, of this process's rows.
        """

    @property
    def drawers(self) -> int:
        """The number of models that `draw` draws with; 0 where none can."""
        return 0

    def draw(self, captions: Sequence[str]) -> npt.NDArray[np.uint8]:
        """Return a picture for each caption, uint8 [N, H, W, 3], always from the same noise: of n models, the
        first draws the first n-th of the captions, and so on.
        """
        raise NotImplementedError

    def clipped(self) -> list[list[nn.Parameter]]:
        """Return the groups of parameters whose gradients are clipped apart: by default one of them all."""
        return [list(self.trained().values())]

    def trained(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.named_parameters() if p.requires_grad}
