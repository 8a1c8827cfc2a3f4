"""Images as the UNet sees them."""

from __future__ import annotations

from typing import Any

import torch


@torch.no_grad()
def encode(vae: Any, images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Latents [B, C, H / f, W / f] of ``images`` [B, 3, H, W] in -1 … 1: drawn from the posterior, scaled."""
    posterior = vae.encode(images.to(vae.device, vae.dtype)).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=rng).to(posterior.mean)
    scaled: torch.Tensor = (posterior.mean + posterior.std * noise) * vae.config.scaling_factor
    return scaled
