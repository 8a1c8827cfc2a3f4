"""Pictures, and the things that the judge detects in them, without captions or confidences."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aptp.data.scenes.scene import Background

Pictures = npt.NDArray[np.uint8]  # [N, 64, 64, 3]


@dataclass(frozen=True, slots=True)
class Detection:
    """A detected thing and its centre, in pixels from the top left."""

    shape: str
    colour: str
    size: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Lettering:
    """Detected letters; `row` is one of the vocabulary's ROWS."""

    text: str
    colour: str
    row: str


@dataclass(frozen=True, slots=True)
class Reading:
    background: Background
    detections: tuple[Detection, ...] = ()
    lettering: Lettering | None = None
