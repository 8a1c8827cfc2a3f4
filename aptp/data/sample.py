"""The interface of every source of training data: captioned images by position."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Sample:
    """A captioned image. `image`: uint8 [H, W, 3]. `metadata`: whatever else the source knows."""

    caption: str
    image: npt.NDArray[np.uint8]
    metadata: Mapping[str, Any] = field(default_factory=dict)


class SampleSource(Protocol):
    """Captioned images, endless: every position from 0 has a sample, the same in every run and process.

    That alone makes a resumed run see what an unbroken one would have seen: the position is its whole state.
    """

    def __getitem__(self, position: int) -> Sample: ...


class NamedSource(SampleSource, Protocol):
    """A Source that a command line can name."""

    @property
    def about(self) -> Mapping[str, Any]:
        """Identify this source, as JSON: the same where, and only where, its samples are."""
        ...

    @property
    def count(self) -> int | None:
        """Samples in a pass, the first of which are positions 0 to `count` − 1; None where none comes
        twice.
        """
        ...

    def only(self, positions: Tensor) -> SampleSource:
        """Return the samples at some positions (int64), in an order shuffled anew in every pass where there
        are passes, else as they stand there.
        """
        ...

    def captions(self) -> SampleSource:
        """Return the same captions in the same order, without reading pictures where they take time."""
        ...
