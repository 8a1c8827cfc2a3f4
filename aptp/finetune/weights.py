"""The weights of the terms of stage 2's loss."""

import math
from dataclasses import asdict, dataclass

from runtime.errors import UsageError


@dataclass(frozen=True, slots=True)
class ExpertLossWeights:
    """The weights of stage 2's loss.

    `diffusion`: prediction of the noise; `output` and `blocks`: distillation from the dense UNet.

    The published ones for COCO are 1, 0.2 and 0.2. What the dense UNet says has the same mean as the target
    of the noise prediction and none of its variance, so ours lean on it (docs/TRAINING.md compares them).
    """

    diffusion: float = 0.3
    output: float = 1.0
    blocks: float = 0.2

    def __post_init__(self) -> None:
        for name, weight in asdict(self).items():
            if not 0 <= weight < math.inf:
                raise UsageError(f"the weight of {name} is {weight:g}; it must be 0 or more")
        if not any(asdict(self).values()):
            raise UsageError("all weights of the loss are 0: nothing would be learned")
