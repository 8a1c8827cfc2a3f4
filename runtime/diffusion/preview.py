"""Previews of an image on its way: after which steps, in which colours (docs/BUNDLE.md, "Previews")."""

import numpy as np
import numpy.typing as npt

from runtime.bundle.schema import Decoder
from runtime.diffusion.pixels import to_pixels
from runtime.diffusion.schedule import Trajectory


def moments(count: int, rows: int) -> frozenset[int]:
    """After how many of `rows` rows to show something: `count` times, evenly spaced, never the last."""
    shown = min(count, rows - 1)
    return frozenset(rows * place // (shown + 1) for place in range(1, shown + 1))


def picture(trajectory: Trajectory, decoder: Decoder) -> npt.NDArray[np.uint8] | None:
    """Return the image that is predicted, uint8 [h, w, 3], a pixel for each latent: no decoder is run.

    None where the bundle does not say how, and where what is predicted is not finite.
    """
    if decoder.preview is None:
        return None
    with np.errstate(over="ignore", invalid="ignore"):  # such an image fails in the end, and not here
        colours = np.asarray(decoder.preview, np.float32)
        latents = trajectory.estimate()
        channels, height, width = latents.shape
        flat = colours[:, :-1] @ latents.reshape(channels, -1) + colours[:, -1:]
    if not np.isfinite(flat).all():
        return None
    return to_pixels(flat.reshape(3, height, width))
