"""The fit behind previews (docs/BUNDLE.md, "Previews"): colours of a decoder as a linear map of latents.

What it is fitted on has to look like latents of pictures, and a build has no pictures. So some are made up,
of one colour or of four, and the VAE's own encoder turns them into latents. With the default's decoder the
map explains 82 % of the variance of what is made of its images' latents; a fit on those very latents explains
85 %, and one on smooth noise at three resolutions 74 %.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from export.parity import ladder

COUNT = 16  # pictures of each kind: twice as many explain as much
FIELDS = (1, 2)  # colours along a side of them
SIDE = 6  # of their latents
DIGITS = 4  # what rounding differs in from machine to machine lies far below

Array = np.ndarray[Any, np.dtype[Any]]


class Fit(NamedTuple):
    """The fitted projection: three rows of a number for every channel and a constant; `explained` of the
    variance, at most 1.
    """

    rows: list[list[float]]
    explained: float


@torch.no_grad()
def encoded(vae: AutoencoderKL, scale: int) -> Tensor:
    """Return latents of made-up pictures as a trajectory has them, float32 [N, C, SIDE, SIDE]. Raises
    OutputError.

    `scale`: pixels per latent along one side.
    """
    means = [vae.encode(one).latent_dist.mean for one in torch.split(pictures(SIDE * scale), 1)]
    found: Tensor = (torch.cat(means) - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor
    ladder.check_output(found.numpy(), "the VAE's encoder")
    return found


def pictures(side: int) -> Tensor:
    """Return fields of random colours, the same on every machine: float32 [N, 3, side, side] from -1 to
    1.
    """
    rng = np.random.default_rng(0)
    fields = [torch.from_numpy(rng.uniform(-1, 1, (COUNT, 3, count, count))) for count in FIELDS]
    return torch.cat([functional.interpolate(one, (side, side)) for one in fields]).float()


def fit(vae: AutoencoderKL, latents: Tensor) -> Fit:
    """Return how red, green and blue, as `vae` decodes them, follow from latents. Raises OutputError."""
    colours = torch.cat([_decoded(vae, one) for one in torch.split(latents, 1)])
    ladder.check_output(colours.numpy(), "the VAE's decoder")
    known, wanted = _pixels(latents), _pixels(colours)
    known = np.append(known, np.ones((len(known), 1)), axis=1)
    found = np.linalg.lstsq(known, wanted, rcond=None)[0].round(DIGITS) + 0.0  # no -0.0
    missed = np.square(known @ found - wanted).sum() / np.square(wanted - wanted.mean(axis=0)).sum()
    return Fit(found.T.tolist(), float(1 - missed))


@torch.no_grad()
def _decoded(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Decode a trajectory's latents [1, C, h, w], a pixel for each latent: [1, 3, h, w]."""
    shift = vae.config.shift_factor or 0.0
    decoded = vae.decode(latents / vae.config.scaling_factor + shift, return_dict=False)[0]
    return functional.adaptive_avg_pool2d(decoded, (latents.shape[2], latents.shape[3]))


def _pixels(planes: Tensor) -> Array:
    """Lay out [N, K, h, w] as float64 [N·h·w, K]."""
    found: Array = planes.double().permute(0, 2, 3, 1).flatten(0, 2).numpy()
    return found
