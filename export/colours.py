"""Owns the fit behind previews (docs/BUNDLE.md, "Previews"): colours of a decoder as a linear map of latents.

The decoder is shown latents that are made up, for a build has no others. Smooth ones: noise at three
resolutions, mixed to unit variance. With the default's decoder they explain 74 % of the variance of what it
makes of its own images' latents (77 % once clipped, as what is shown is); a fit on those very latents explains
85 %, one colour for each picture 53 %, white noise 40 %.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

COUNT, SIDE = 32, 16
RESOLUTIONS = (1, 2, 4)
DIGITS = 4  # what rounding differs in from machine to machine lies far below

Array = np.ndarray[Any, np.dtype[Any]]


class Fit(NamedTuple):
    """Three rows of a number for every channel and what is added; `explained` of the variance, at most 1."""

    rows: list[list[float]]
    explained: float


def fit(vae: AutoencoderKL) -> Fit:
    """How red, green and blue, as `vae` decodes them, follow from the latents of a trajectory."""
    latents = smooth_latents(vae.config.latent_channels)
    colours = torch.cat([_decoded(vae, one) for one in latents.split(1)])
    known, wanted = _pixels(latents), _pixels(colours)
    known = np.append(known, np.ones((len(known), 1)), axis=1)
    found = np.linalg.lstsq(known, wanted, rcond=None)[0].round(DIGITS) + 0.0  # no -0.0
    missed = np.square(known @ found - wanted).sum() / np.square(wanted - wanted.mean(axis=0)).sum()
    return Fit(found.T.tolist(), float(1 - missed))


def smooth_latents(channels: int) -> Tensor:
    """The same latents on every machine, float32 [COUNT, channels, SIDE, SIDE] of unit variance."""
    draw = np.random.default_rng(0).standard_normal
    layers = [torch.from_numpy(draw((COUNT, channels, side, side))) for side in RESOLUTIONS]
    mixed = sum(functional.interpolate(layer, (SIDE, SIDE), mode="bilinear") for layer in layers)
    assert isinstance(mixed, Tensor), "there are resolutions"
    return (mixed / mixed.std(dim=(0, 2, 3), keepdim=True)).float()


@torch.no_grad()
def _decoded(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """What is decoded of a trajectory's latents [1, C, h, w], a pixel for each latent: [1, 3, h, w]."""
    shift = vae.config.shift_factor or 0.0
    decoded = vae.decode(latents / vae.config.scaling_factor + shift, return_dict=False)[0]
    return functional.adaptive_avg_pool2d(decoded, latents.shape[2:])


def _pixels(planes: Tensor) -> Array:
    """[N, K, h, w] as float64 [N·h·w, K]."""
    found: Array = planes.double().permute(0, 2, 3, 1).flatten(0, 2).numpy()
    return found
