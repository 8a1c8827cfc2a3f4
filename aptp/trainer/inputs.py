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
from aptp.trainer.slices import joined, slices

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
    def latents(self, batch: Batch, draws: Draws) -> torch.Tensor:
        """Return latents [B, C, H / f, W / f] of the pictures: drawn from their posteriors by `draws`,
        scaled.
        """
        return drawn(self.moments(batch), self._scale, draws)

    @abstractmethod
    def moments(self, batch: Batch) -> torch.Tensor:
        """Return [B, 2C, H / f, W / f]: mean and log-variance of each picture's posterior."""


class EncodedInputs(Inputs):
    """Inputs that a pipeline's frozen VAE and text encoder make of pictures and captions."""

    def __init__(self, pipeline: DiffusionPipeline, at_once: int | None = None) -> None:
        """`at_once`: pictures that the VAE takes at a time, by default all of a batch."""
        super().__init__(pipeline.vae.config.scaling_factor)
        self.vae = pipeline.vae.requires_grad_(False).eval()
        self.text_encoder = pipeline.text_encoder.requires_grad_(False).eval()
        self._encoding = TextEncoding(pipeline.tokenizer, self.text_encoder)
        self._at_once = at_once

    @torch.no_grad()
    def text(self, batch: Batch) -> Encoded:
        return self._encoding(batch.captions)

    @torch.no_grad()
    def empty(self) -> torch.Tensor:
        return self._encoding([""]).hidden

    def moments(self, batch: Batch) -> torch.Tensor:
        parts = slices(len(batch.images), self._at_once)
        return joined([moments(self.vae, batch.images[part]) for part in parts])


class CachedInputs(Inputs):
    """Inputs that come with a batch, from a cache. Encoders make what it lacks: text where the cache has
    none, and all of a batch of pictures.
    """

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        empty: torch.Tensor | None,
        *,
        pictures: bool = False,
        at_once: int | None = None,
    ) -> None:
        """`empty` [1, T, E]: the empty caption as the cache has it, None where it has no text. `pictures`:
        whether batches of pictures come as well, of which the VAE takes `at_once` at a time.
        """
        super().__init__(pipeline.vae.config.scaling_factor)
        self._encoders = EncodedInputs(pipeline, at_once) if pictures or empty is None else None
        if self._encoders and not pictures:
            self._encoders.vae = None  # not needed, so it takes no room on the device
        # It also tells where the learner is; a resume state does not keep it.
        self._empty = nn.Buffer(torch.empty(0) if empty is None else empty.float(), persistent=False)

    def text(self, batch: Batch) -> Encoded:
        kept = batch.encodings
        if kept is None or kept.hidden is None or kept.mask is None:
            assert self._encoders, "batches of pictures were announced"
            return self._encoders.text(batch)
        return Encoded(self._there(kept.hidden).float(), self._there(kept.mask))

    def empty(self) -> torch.Tensor:
        if len(self._empty):
            return self._empty
        assert self._encoders
        return self._encoders.empty()

    def moments(self, batch: Batch) -> torch.Tensor:
        if batch.encodings is None:
            assert self._encoders, "batches of pictures were announced"
            return self._encoders.moments(batch)
        return self._there(batch.encodings.moments)

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
