"""The interface of every source of training data: captioned images by position."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor


class Encodings(NamedTuple):
    """The output of frozen encoders for a sample, or for a batch of B: then B comes first in every shape.

    `moments` [2C, h, w]: mean and log-variance of the picture's latents. `hidden` [T, E] and `mask` [T]: the
    caption's token embeddings, and where there is text; None where they were not kept.
    """

    moments: Tensor
    hidden: Tensor | None = None
    mask: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> "Encodings":
        """Return them with every tensor changed."""
        text = (None if tensor is None else change(tensor) for tensor in self[1:])
        return Encodings(change(self.moments), *text)


@dataclass(frozen=True, slots=True)
class Sample:
    """A captioned image. `image`: uint8 [H, W, 3]. `metadata`: whatever else the source knows.

    `encodings`: of a source that has them; its images are then empty.
    """

    caption: str
    image: npt.NDArray[np.uint8]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    encodings: Encodings | None = None


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
