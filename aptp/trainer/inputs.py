"""Inputs of the UNet in training: images as latents, and captions dropped for classifier-free guidance."""

from collections.abc import Sequence
from typing import Any

import torch

from aptp.trainer.rng import Draws
from aptp.trainer.slices import joined, slices

DROPPED = 0.1  # share of captions that are replaced by the empty one


@torch.no_grad()
def encode(vae: Any, images: torch.Tensor, draws: Draws, at_once: int | None = None) -> torch.Tensor:
    """Return latents [B, C, H / f, W / f] of `images` [B, 3, H, W] in -1 … 1: drawn from the posterior,
    scaled. The VAE takes `at_once` of them, by default all.
    """
    parts = [
        vae.encode(images[part].to(vae.device, vae.dtype)).latent_dist
        for part in slices(len(images), at_once)
    ]
    mean, std = joined([part.mean for part in parts]), joined([part.std for part in parts])
    scaled: torch.Tensor = (mean + std * draws.normal(*mean.shape[1:]).to(mean)) * vae.config.scaling_factor
    return scaled


def drop(captions: Sequence[str], draws: Draws, share: float = DROPPED) -> list[str]:
    """Empty a random `share` of the captions."""
    dropped = (draws.uniform() < share).tolist()
    return ["" if gone else caption for caption, gone in zip(captions, dropped, strict=True)]
