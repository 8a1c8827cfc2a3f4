"""The weights of the terms of stage 2's loss."""

import math
from dataclasses import dataclass

from aptp.trainer.fields import option
from runtime.errors import UsageError


@dataclass(frozen=True, slots=True)
class ExpertLossWeights:
    """The weights of stage 2's loss, each an option of the command line.

    `diffusion`: prediction of the noise; `output` and `blocks`: distillation from the dense UNet.
    `relative_blocks`: distances of blocks in units of each block's own power, not in squared activations.

    The published ones for COCO are 1, 0.2 and 0.2. What the dense UNet says has the same mean as the target
    of the noise prediction and none of its variance, so ours lean on it (docs/TRAINING.md compares them).
    """

    diffusion: float = option("--diffusion", "weight of the noise prediction", 0.3, metavar="W")
    output: float = option("--output", "weight of the distance to the dense output", 1.0, metavar="W")
    blocks: float = option("--blocks", "weight of the distance to the dense blocks", 0.2, metavar="W")
    relative_blocks: bool = option("--relative-blocks", "that distance in units of each block's power", True)

    def __post_init__(self) -> None:
        weights = {"diffusion": self.diffusion, "output": self.output, "blocks": self.blocks}
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise UsageError(f"the weight of {name} is {weight:g}; it must be 0 or more")
        if not any(weights.values()):
            raise UsageError("all weights of the loss are 0: nothing would be learned")
