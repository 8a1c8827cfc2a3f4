"""The forward process of diffusion training, as the pipeline's own scheduler defines it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from diffusers import DDIMScheduler

from aptp.trainer.rng import Draws
from aptp.trainer.timesteps import Timesteps
from runtime.errors import CheckpointError

GAMMA = 5.0  # of min-SNR weighting


class Noised(NamedTuple):
    """Noised latents. `sample` and `target`: [B, C, H, W]; `timesteps`: int64 [B]; `weights`: float32 [B]."""

    sample: torch.Tensor
    target: torch.Tensor
    timesteps: torch.Tensor
    weights: torch.Tensor

    def part(self, rows: slice) -> "Noised":
        return Noised(*(field[rows] for field in self))

    def loss(self, output: torch.Tensor) -> torch.Tensor:
        """Return the weighted squared error of a model's `output`, the mean of each sample: [B]."""
        return self.weights * (output.float() - self.target.float()).square().mean(dim=(1, 2, 3))


class Noising:
    """The forward process of a pipeline's `scheduler`: it draws timesteps and noise, and gives the target.

    `timesteps` says how they are drawn (`Timesteps`). Weights are min(SNR + 1, γ) / (SNR + 1): min-SNR
    weighting (Hang et al. 2023, equation 5, for v-prediction) in the published APTP's form, which stays
    positive at zero terminal SNR.
    """

    def __init__(self, scheduler: Any, timesteps: str = "stratified") -> None:
        config: Mapping[str, Any] = scheduler.config
        kind = config.get("prediction_type", "epsilon")
        if kind not in ("epsilon", "v_prediction"):
            raise CheckpointError(f"the scheduler predicts '{kind}'; training knows epsilon and v_prediction")
        self._scheduler: Any = DDIMScheduler.from_config(dict(config))
        self._timesteps = Timesteps(timesteps, scheduler)
        self._velocity = kind == "v_prediction"
        alphas = self._scheduler.alphas_cumprod
        self._snr = alphas / (1 - alphas)  # [T]

    def draw(self, latents: torch.Tensor, draws: Draws) -> Noised:
        """Draw timesteps and noise for `latents`, [B, C, H, W], already scaled."""
        timesteps = self._timesteps.draw(draws)
        noise = draws.normal(*latents.shape[1:]).to(latents)
        return self.at(latents, noise, timesteps)

    def at(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> Noised:
        """Return the noised `latents` at given `timesteps`, an int64 tensor [B] on the CPU."""
        snr = self._snr[timesteps].to(latents.device)
        there = timesteps.to(latents.device)
        target = self._scheduler.get_velocity(latents, noise, there) if self._velocity else noise
        # Written so that a timestep without signal (SNR 0) has the weight that it tends to, 1, and not 0 / 0.
        weights = GAMMA / (snr + 1 if self._velocity else snr).clamp(min=GAMMA)
        return Noised(self._scheduler.add_noise(latents, noise, there), target, there, weights)
