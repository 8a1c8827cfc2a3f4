"""One image between two UNet calls: its expert, its conditioning, its latents on their way."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from runtime.diffusion.schedule import Trajectory
from runtime.errors import EngineFailure

Float32 = npt.NDArray[np.float32]


@dataclass(eq=False, slots=True)
class Denoising:
    """The state of the steps that `expert` takes. `seconds` is its share of the UNet calls so far.

    `time_embedding` [steps, E] is what each step tells the UNet of its timestep.
    `conditioning` and `negative` give [1, …] per UNet input; `negative` is None where guidance is 1.
    """

    expert: str
    trajectory: Trajectory
    time_embedding: Float32
    conditioning: Mapping[str, Float32]
    negative: Mapping[str, Float32] | None = None
    guidance: float = 1.0
    seconds: float = field(default=0.0)

    def __post_init__(self) -> None:
        steps = len(self.trajectory.steps.rows)
        assert len(self.time_embedding) == steps, "a time embedding for each step"
        assert (self.negative is None) == (self.guidance == 1.0), "only guidance needs the negative prompt"

    @property
    def rows(self) -> int:
        """Batch rows that it takes in a UNet call."""
        return 1 if self.negative is None else 2

    @property
    def halves(self) -> tuple[Mapping[str, Float32], ...]:
        """The conditioning of each of its rows: negative first."""
        return (self.conditioning,) if self.negative is None else (self.negative, self.conditioning)

    @property
    def ended(self) -> bool:
        """Whether every step is taken."""
        return self.trajectory.done

    def write_input(self, sample: Float32) -> None:
        """Write the next UNet input into `sample` [rows, C, H, W]."""
        self.trajectory.write_input(sample[0])
        if self.negative is not None:
            np.copyto(sample[1], sample[0])

    def advance(self, output: Float32) -> None:
        """Take a step with the UNet's `output` [rows, C, H, W]."""
        if self.negative is None:
            self.trajectory.advance(output[0])
        else:
            self.trajectory.advance(output[1], output[0], self.guidance)

    def result(self) -> Float32:
        """Return the final latents [C, H, W]. Raises `EngineFailure` where they are not finite."""
        latents = self.trajectory.latents
        if not np.isfinite(latents).all():
            raise EngineFailure(f"expert {self.expert!r}: the latents are not finite after the last step")
        return latents
