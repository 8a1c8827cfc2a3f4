"""The result that the runtime returns: an image, and how it came to be."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.request.params import ResolvedParams

BLANK = 2  # an image whose values span no more than this, of 255, shows nothing


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """The decision who makes an image: `code` is None for `dense`, `margin` None where the router was not
    asked.

    `fell_back`: the bundle lacks the expert that should have. `distance`: how far the prompt lies from those
    of the training, None where that is not known; `out_of_distribution`: too far to be left to its code.
    """

    expert: str
    code: int | None
    margin: float | None
    fell_back: bool
    distance: float | None = None
    out_of_distribution: bool = False

    @property
    def label(self) -> str:
        """The code, and the expert that stood in for its own."""
        code = "dense" if self.code is None else str(self.code)
        return code if code == self.expert else f"{code} → {self.expert}"


@dataclass(frozen=True, eq=False, slots=True)
class Generated:
    """An image, uint8 [H, W, 3], and how it came to be.

    `params` are the request's, with the bundle's defaults. `dropped_tokens` counts the prompt's tokens that
    did not fit, `negative_dropped_tokens` those of the negative prompt (0 without guidance: nothing reads it
    then). `milliseconds` is this image's share of the work, without opening engines.
    """

    pixels: npt.NDArray[np.uint8]
    prompt: str
    choice: RoutingDecision
    params: ResolvedParams
    dropped_tokens: int
    negative_dropped_tokens: int
    milliseconds: float

    @property
    def seed(self) -> int | None:
        """The seed of its start noise; None where the caller gave latents."""
        return None if self.params.latents is not None else self.params.seed

    @property
    def blank(self) -> bool:
        """Whether the image shows nothing, which is what broken engines most often return."""
        return int(np.ptp(self.pixels)) <= BLANK
