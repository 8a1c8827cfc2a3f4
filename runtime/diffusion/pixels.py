"""A decoder's output as pixels."""

import numpy as np
import numpy.typing as npt

from runtime.errors import EngineFailure


def to_pixels(decoded: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return the decoder's output [3, H, W] as uint8 [H, W, 3]. Raises `EngineFailure` where it is not
    finite.
    """
    if not np.isfinite(decoded).all():
        raise EngineFailure("decoder: gave an image that is not finite")
    unit = np.clip(decoded / 2 + np.float32(0.5), 0, 1)
    return np.ascontiguousarray(np.rint(unit * 255).astype(np.uint8).transpose(1, 2, 0))
