"""What a request tells on its way: each of these at most once, steps apart, in this order."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .generated import Choice, Generated


@dataclass(frozen=True, slots=True)
class Queued:
    """It was let in; `ahead` of it are requests that have not started."""

    ahead: int


@dataclass(frozen=True, slots=True)
class Started:
    """Its prompt is encoded and routed."""

    choice: Choice


@dataclass(frozen=True, slots=True)
class Step:
    """`done` of the `total` rows of its schedule are walked. `preview`: uint8 [h, w, 3], where asked for."""

    done: int
    total: int
    preview: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The image. Nothing follows."""

    image: Generated


Event = Queued | Started | Step | Finished
