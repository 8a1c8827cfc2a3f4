"""Augmentation: pictures slightly distorted, as generated ones are."""

import torch
from torch import Tensor
from torch.nn import functional as F

DISTORTED = 0.75  # share of pictures; the others stay as they were drawn
BLUR = 0.2  # largest weight of each neighbour; a third would be a box filter
NOISE = 0.06  # largest standard deviation, of values in −1 … 1
GAIN, SHIFT = 0.06, 0.05  # largest change of each channel: as a factor, and added


def distort(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Return pictures [B, 3, H, W] in −1 … 1, each blurred, noisy and off in colour by amounts of its own."""
    count = len(pictures)

    def amount(channels: int = 1) -> Tensor:
        return torch.rand(count, channels, 1, 1, generator=rng)

    chosen = amount() < DISTORTED
    changed = pictures
    for axis in (2, 3):
        changed = _blur(changed, BLUR * amount(), axis)
    changed = changed * (1 + GAIN * (2 * amount(3) - 1)) + SHIFT * (2 * amount(3) - 1)
    changed = changed + NOISE * amount() * torch.randn(pictures.shape, generator=rng)
    return torch.where(chosen, changed.clamp(-1, 1), pictures)


def _blur(pictures: Tensor, weight: Tensor, axis: int) -> Tensor:
    """Blur by `weight` [B, 1, 1, 1]: each pixel takes that much of its difference to either neighbour
    along `axis`.
    """
    length = pictures.shape[axis]
    padded = F.pad(pictures, (0, 0, 1, 1) if axis == 2 else (1, 1, 0, 0), mode="replicate")
    neighbours = padded.narrow(axis, 0, length) + padded.narrow(axis, 2, length)
    return pictures + weight * (neighbours - 2 * pictures)
