"""What a stream tells of a request, in order: it waits, it has started, each step, the image."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .generated import Choice, Generated


@dataclass(frozen=True, slots=True)
class Queued:
    """Admitted; `ahead` requests were admitted before it and have not started."""

    ahead: int


@dataclass(frozen=True, slots=True)
class Started:
    """Encoded and routed."""

    choice: Choice


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """`done` of `total` steps are walked. `preview`: uint8 [h, w, 3], small, where one was asked for."""

    done: int
    total: int
    preview: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Finished:
    """The image. Nothing follows."""

    image: Generated


Event = Queued | Started | Step | Finished
