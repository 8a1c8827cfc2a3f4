"""The loss terms of stage 1 that are about architectures; those about images are in `aptp.trainer`.

All are functions of the whole batch: of the rows of every process.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def budget_loss(ratios: Tensor, target: float) -> Tensor:
    """Return |log(mean ratio / target)|, symmetric above and below the budget.

    `ratios` [N]: shares of dense cost.
    """
    return torch.log(ratios.mean() / target).abs()


def contrast_loss(architectures: Tensor, embeddings: Tensor, temperature: float) -> Tensor:
    """Return the contrastive loss, which prunes similar prompts alike: binary cross-entropy, over all B × B
    pairs, between the row-wise softmax of cosines of `architectures` [B, D] and that of `embeddings` [B, E].
    """
    wanted = _neighbours(embeddings.detach(), temperature)
    found = _neighbours(architectures, temperature)
    # A softmax may round to 0 or 1, whose logarithm torch clamps; its gradient stays finite.
    return F.binary_cross_entropy(found.clamp(0, 1), wanted.clamp(0, 1))


def deviation_loss(ratios: Tensor, spread: float) -> Tensor:
    """Return |std − `spread`| of `ratios` [N], so that codes differ in cost; −std, as published, for spread
    0.
    """
    deviation = ratios.std() if ratios.numel() > 1 else ratios.sum() * 0
    return (deviation - spread).abs() if spread else -deviation


def largest_loss(ratios: Tensor) -> Tensor:
    """Return 1 − the largest of `ratios` [N], so that one code is near dense."""
    return 1 - ratios.max()


def gain_loss(lead: Tensor, gain: Tensor) -> Tensor:
    """Return the loss that makes a prompt's score for a code say what it gains there: mean squared error
    between the `lead` [B] of a rival code's score and the `gain` [B], by how much the rival's loss was lower
    on the same noise, in units of the batch's root mean square.

    Scores learned so make the transport an assignment of the largest total gain. They never saturate, and
    what a prompt would lose elsewhere is measured, which a gradient at the gates it has cannot tell: where
    nothing is missing it is zero.
    """
    power = gain.detach().square().mean().sqrt().clamp(min=torch.finfo(torch.float32).tiny)
    return (lead - gain.detach() / power).square().mean()


def _neighbours(vectors: Tensor, temperature: float) -> Tensor:
    unit = F.normalize(vectors, dim=1)
    return torch.softmax(unit @ unit.T / temperature, dim=1)  # [B, B]
