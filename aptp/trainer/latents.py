"""Images as the UNet sees them."""

from typing import Any

import torch

from aptp.trainer.rng import Draws


@torch.no_grad()
def encode(vae: Any, images: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Return latents [B, C, H / f, W / f] of `images` [B, 3, H, W] in -1 … 1: drawn from the posterior,
    scaled.
    """
    posterior = vae.encode(images.to(vae.device, vae.dtype)).latent_dist
    noise = draws.normal(*posterior.mean.shape[1:]).to(posterior.mean)
    scaled: torch.Tensor = (posterior.mean + posterior.std * noise) * vae.config.scaling_factor
    return scaled
