"""What the scheduler asks of anything that runs an expert's UNet."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


class Engine(Protocol):
    """Runs one expert. The scheduler reuses its input arrays: an engine must not keep them."""

    def run(self, sample: Float32, timestep: Float32, conditioning: Mapping[str, Float32]) -> Float32:
        """Predict [B, C, H, W] from `sample` [B, C, H, W], `timestep` [B] and conditioning inputs [B, L, E].

        Raises `EngineFailure`.
        """
        ...
