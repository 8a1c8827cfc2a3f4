"""Inputs of the UNet in training: pictures as latents, captions as token embeddings, some of them dropped.

A learner asks `Inputs` for them. Frozen encoders make them in every step, or a cache has them already.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import nn

from aptp.data.batches import Batch
from aptp.model.encoding import Encoded, TextEncoding
from aptp.trainer.rng import Draws

DROPPED = 0.1  # share of captions that are replaced by the empty one


class Inputs(nn.Module):
    """The source of all that the UNet sees of a batch. Nothing here has a gradient."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self._scale = scale

    @abstractmethod
    def text(self, batch: Batch) -> Encoded:
        """Return the token embeddings of the captions, in float32."""

    @abstractmethod
    def empty(self) -> torch.Tensor:
        """Return [1, T, E]: the token embeddings of the empty caption."""

    @torch.no_grad()
    def latents(self, batch: Batch, draws: Draws, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Return latents [B, C, H / f, W / f] of the pictures, or of those in `rows`: drawn from their
        posteriors by `draws`, scaled.
        """
        return drawn(self._moments(batch, rows), self._scale, draws)

    @abstractmethod
    def _moments(self, batch: Batch, rows: torch.Tensor | None) -> torch.Tensor:
        """Return [B, 2C, H / f, W / f]: mean and log-variance of each picture's posterior."""


class EncodedInputs(Inputs):
    """Inputs that a pipeline's frozen VAE and text encoder make of pictures and captions."""

    def __init__(self, pipeline: DiffusionPipeline) -> None:
        super().__init__(pipeline.vae.config.scaling_factor)
        self.vae = pipeline.vae.requires_grad_(False).eval()
        self.text_encoder = pipeline.text_encoder.requires_grad_(False).eval()
        self._encoding = TextEncoding(pipeline.tokenizer, self.text_encoder)

    @torch.no_grad()
    def text(self, batch: Batch) -> Encoded:
        return self._encoding(batch.captions)

    @torch.no_grad()
    def empty(self) -> torch.Tensor:
        return self._encoding([""]).hidden

    def _moments(self, batch: Batch, rows: torch.Tensor | None) -> torch.Tensor:
        return moments(self.vae, batch.images if rows is None else batch.images[rows.cpu()])


class CachedInputs(Inputs):
    """Inputs that come with a batch, from a cache. Text comes from the encoder where the cache has none."""

    def __init__(self, pipeline: DiffusionPipeline, empty: torch.Tensor | None) -> None:
        """`empty` [1, T, E]: the empty caption as the cache has it, None where it has no text."""
        super().__init__(pipeline.vae.config.scaling_factor)
        self._encoders = EncodedInputs(pipeline) if empty is None else None
        if self._encoders:
            self._encoders.vae = None  # not needed, so it takes no room on the device
        # It also tells where the learner is; a resume state does not keep it.
        self._empty = nn.Buffer(torch.empty(0) if empty is None else empty.float(), persistent=False)

    def text(self, batch: Batch) -> Encoded:
        if self._encoders:
            return self._encoders.text(batch)
        kept = batch.encodings
        assert kept is not None
        assert kept.hidden is not None
        assert kept.mask is not None
        return Encoded(self._there(kept.hidden).float(), self._there(kept.mask))

    def empty(self) -> torch.Tensor:
        return self._encoders.empty() if self._encoders else self._empty

    def _moments(self, batch: Batch, rows: torch.Tensor | None) -> torch.Tensor:
        kept = batch.encodings
        assert kept is not None
        return self._there(kept.moments if rows is None else kept.moments[rows.cpu()])

    def _there(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._empty.device, non_blocking=True)


@torch.no_grad()
def moments(vae: Any, images: torch.Tensor) -> torch.Tensor:
    """Return [B, 2C, H / f, W / f]: mean and log-variance of the posteriors of `images`, [B, 3, H, W] in
    -1 … 1, in the dtype that the VAE gives them.
    """
    found: torch.Tensor = vae.encode(images.to(vae.device, vae.dtype)).latent_dist.parameters
    return found.contiguous()  # as a cache keeps them, whatever layout the VAE prefers


@torch.no_grad()
def drawn(moments: torch.Tensor, scale: float, draws: Draws) -> torch.Tensor:
    """Return latents [B, C, H / f, W / f] drawn from posteriors [B, 2C, H / f, W / f], and scaled."""
    posterior = DiagonalGaussianDistribution(moments)
    noise = draws.normal(*posterior.mean.shape[1:]).to(posterior.mean)
    scaled: torch.Tensor = (posterior.mean + posterior.std * noise) * scale
    return scaled


def encode(vae: Any, images: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Return latents [B, C, H / f, W / f] of `images`, as `moments` takes them, drawn and scaled."""
    return drawn(moments(vae, images), vae.config.scaling_factor, draws)


def drop(captions: Sequence[str], draws: Draws, share: float = DROPPED) -> list[str]:
    """Empty a random `share` of the captions."""
    dropped = (draws.uniform() < share).tolist()
    return ["" if gone else caption for caption, gone in zip(captions, dropped, strict=True)]
