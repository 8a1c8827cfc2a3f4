"""The recipe of a training run: steps, batch, learning rate."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from runtime.errors import UsageError, nearest

OPTIMIZERS = ("adamw", "adamw8bit")


@dataclass(frozen=True, slots=True)
class Recipe:
    """The hyperparameters of a run.

    `batch`: samples per step over all processes. `warmup` and `decay`: steps over which the rate rises from
    zero at the start and falls to zero at the end. `average`: decay of the running average of the weights (0:
    none is kept). `clip`: largest norm of the gradient. `optimizer`: one of OPTIMIZERS.
    """

    steps: int
    batch: int
    rate: float
    warmup: int = 100
    decay: int = 0
    clip: float = 1.0
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    average: float = 0.0
    seed: int = 0
    optimizer: str = "adamw"

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.optimizer not in OPTIMIZERS:
            raise UsageError(
                f"there is no optimizer named '{self.optimizer}'{nearest(self.optimizer, OPTIMIZERS)}; "
                f"use {' or '.join(OPTIMIZERS)}"
            )
        if not self.rate > 0:
            raise UsageError(f"the learning rate is {self.rate}; it must be above 0")

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0: up, flat, down (all linear)."""
        up = (step + 1) / max(self.warmup, 1)
        down = (self.steps - step) / max(self.decay, 1)
        return self.rate * min(1.0, up, down)

    def identity(self) -> Mapping[str, Any]:
        """Return what a resumed run must have in common with the run it resumes."""
        return {**asdict(self), "betas": list(self.betas)}
