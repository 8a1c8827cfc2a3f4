"""What the scheduler asks of anything that runs an expert's UNet."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


class Engine(Protocol):
    """Runs one expert, or for a supernet all of them: each row follows its own `gates` [G].

    The scheduler writes to `sample` and `timestep` again: an engine must not keep them. Conditioning is not
    written to once it was given, so what an engine made of it holds while the same arrays come again.
    """

    def run(self, sample: Float32, timestep: Float32, conditioning: Mapping[str, Float32]) -> Float32:
        """Predict [B, C, H, W] from `sample` [B, C, H, W], `timestep` [B] and conditioning inputs [B, …].

        Raises `EngineFailure`.
        """
        ...
