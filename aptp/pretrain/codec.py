"""The training of the default's VAE: reconstruction through a small, nearly noise-free latent."""

from collections.abc import Iterable
from typing import Any

import torch

from aptp.data.batches import Batch
from aptp.trainer.learner import Learner
from aptp.trainer.recipe import Recipe
from aptp.trainer.rng import Draws

RECIPE = Recipe(steps=3500, batch=32, rate=2e-3, warmup=100, decay=1500)

SQUARED = 2.0  # weight of the squared beside the absolute error
DIVERGENCE = 1e-4  # weight of the KL divergence, per latent number
FIRST_LOGVAR = -6.0  # so that posterior noise does not drown the latents before they carry anything


class CodecLearner(Learner):
    """The learner of an AutoencoderKL; flat shapes need neither a perceptual nor an adversarial loss."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        channels = vae.config.latent_channels
        with torch.no_grad():
            vae.quant_conv.weight[channels:].mul_(0.1)
            vae.quant_conv.bias[channels:].fill_(FIRST_LOGVAR)

    def forward(self, batch: Batch, step: int, draws: Draws) -> dict[str, torch.Tensor]:
        images = batch.images.to(self.vae.device)
        posterior = self.vae.encode(images).latent_dist
        noise = draws.normal(*posterior.mean.shape[1:]).to(posterior.mean)
        latents = posterior.mean + posterior.std * noise  # [B, C, H / f, W / f]
        error = self.vae.decode(latents).sample.float() - images
        divergence = posterior.kl().mean() / latents[0].numel()
        absolute, squared = error.abs().mean(), error.square().mean()
        return {
            "loss": absolute + SQUARED * squared + DIVERGENCE * divergence,
            "absolute": absolute,
            "squared": squared,
            "divergence": divergence,
        }


@torch.no_grad()
def scaling_factor(vae: Any, batches: Iterable[Batch]) -> float:
    """Return the factor that brings latents to unit standard deviation, as diffusion training expects (LDM,
    section G).
    """
    means = [vae.encode(batch.images.to(vae.device)).latent_dist.mean for batch in batches]
    return float(1 / torch.cat(means).std())
