"""What the runtime returns: an image, and how it came to be."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.errors import EngineFailure
from runtime.request.settings import Settings

BLANK = 2  # an image whose values span no more than this, of 255, shows nothing


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """Who makes an image: `code` is None for `dense`, `margin` None where the router was not asked.

    `fell_back`: the bundle lacks the expert that should have. `distance`: how far the prompt lies from those
    of the training, None where that is not known; `unfamiliar`: so far that it was not left to its code.
    """

    expert: str
    code: int | None
    margin: float | None
    fell_back: bool
    distance: float | None = None
    unfamiliar: bool = False

    @property
    def label(self) -> str:
        """The code, and the expert that stood in for its own."""
        code = "dense" if self.code is None else str(self.code)
        return code if code == self.expert else f"{code} → {self.expert}"


@dataclass(frozen=True, eq=False, slots=True)
class Generated:
    """An image, uint8 [H, W, 3], and how it came to be.

    `seed` is None where the caller gave latents. `dropped_tokens` counts the prompt's tokens that did not
    fit, `negative_dropped_tokens` those of the negative prompt (0 without guidance: nothing reads it then).
    `milliseconds` is this image's share of the work, without opening engines.
    """

    pixels: npt.NDArray[np.uint8]
    prompt: str
    choice: RoutingDecision
    seed: int | None
    settings: Settings
    dropped_tokens: int
    negative_dropped_tokens: int
    milliseconds: float

    @property
    def blank(self) -> bool:
        """Whether the image shows nothing, which is what broken engines most often return."""
        return int(np.ptp(self.pixels)) <= BLANK


def to_pixels(decoded: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The decoder's output [3, H, W] as uint8 [H, W, 3]. Raises `EngineFailure` where it is not finite."""
    if not np.isfinite(decoded).all():
        raise EngineFailure("decoder: gave an image that is not finite")
    unit = np.clip(decoded / 2 + np.float32(0.5), 0, 1)
    return np.ascontiguousarray(np.rint(unit * 255).astype(np.uint8).transpose(1, 2, 0))
