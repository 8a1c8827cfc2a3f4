"""The events that a request tells on its way: each of these at most once, steps apart, in this order."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.service.generated import Generated, RoutingDecision


@dataclass(frozen=True, slots=True)
class Queued:
    """It was let in; `ahead` of it are requests that have not started."""

    ahead: int


@dataclass(frozen=True, slots=True)
class Started:
    """Its prompt is encoded and routed."""

    choice: RoutingDecision


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """`done` of the `total` rows of its schedule are walked, the last one at `timestep`.

    Where asked for: `preview` uint8 [h, w, 3], and the `latents` now, float32 [C, H, W].
    """

    done: int
    total: int
    timestep: float
    preview: npt.NDArray[np.uint8] | None = None
    latents: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The image. Nothing follows."""

    image: Generated


Event = Queued | Started | Step | Finished
