"""The recipe of a training run: steps, batch, learning rate, and what else decides what is learned."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from aptp.trainer.fields import option
from runtime.errors import UsageError, nearest

OPTIMIZERS = ("adamw", "adamw8bit")

NONE, SQRT = "none", "sqrt"
TIMESTEPS = re.compile(r"stratified|uniform|serving:([1-9][0-9]{0,2})")


@dataclass(frozen=True, slots=True)
class Recipe:
    """The hyperparameters of a run, each an option of the command line.

    `batch`: samples per step over all processes. `scaling`: where it is `sqrt`, `rate` is times the square
    root of `batch`, as published. `warmup` and `decay`: steps over which the rate rises from zero at the
    start and falls to zero at the end. `clip`: largest norm of the gradient, 0 for any. `average`: decay of
    the running average of the weights (0: none is kept). `timesteps`: how they are drawn
    (`aptp.trainer.timesteps`). `optimizer`: one of OPTIMIZERS.
    """

    steps: int = option("--train-steps", "of the whole run")
    batch: int = option("--train-batch", "samples per step over all processes; in stage 2, of each expert")
    rate: float = option("--rate", "learning rate", metavar="RATE")
    scaling: str = option(
        "--rate-scaling", "sqrt: times the square root of the batch", NONE, choices=(NONE, SQRT)
    )
    warmup: int = option("--rate-warmup", "first steps, over which the rate rises from 0", 100)
    decay: int = option("--rate-decay", "last steps, over which it falls to 0", 0)
    clip: float = option("--clip", "largest norm of the gradient; 0: any", 1.0, metavar="NORM")
    betas: tuple[float, float] = option("--betas", "of AdamW", (0.9, 0.99), metavar="B1,B2")
    weight_decay: float = option("--weight-decay", "of AdamW", 0.01, metavar="W")
    optimizer: str = option(
        "--optimizer", "AdamW with moments in 32 bits, or in 8", OPTIMIZERS[0], choices=OPTIMIZERS
    )
    average: float = option(
        "--ema", "decay of the running average of the weights; 0: none", 0.0, metavar="DECAY"
    )
    timesteps: str = option(
        "--timesteps",
        "stratified, uniform, or serving:STEPS, those of the schedule that will serve",
        "stratified",
        metavar="HOW",
    )
    seed: int = option("--seed", "of everything random", 0)

    def __post_init__(self) -> None:
        option_of = {each.name: each.metadata["option"] for each in fields(self)}
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"{option_of[name]} is {getattr(self, name)}; it must be at least 1")
        for name in ("warmup", "decay", "seed", "clip", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{option_of[name]} is {getattr(self, name)}; it must be 0 or more")
        for name, shares in {"betas": self.betas, "average": (self.average,)}.items():
            if not all(0 <= share < 1 for share in shares):
                told = ",".join(f"{share:g}" for share in shares)
                raise UsageError(f"{option_of[name]} is {told}; give shares in [0, 1)")
        for name, known in {"scaling": (NONE, SQRT), "optimizer": OPTIMIZERS}.items():
            if (said := getattr(self, name)) not in known:
                meant = nearest(said, known)
                raise UsageError(f"{option_of[name]} '{said}' is not known{meant}: give {' or '.join(known)}")
        if not 0 < self.rate < math.inf:
            raise UsageError(f"{option_of['rate']} is {self.rate}; it must be above 0")
        if not TIMESTEPS.fullmatch(self.timesteps):
            raise UsageError(
                f"{option_of['timesteps']} '{self.timesteps}': give stratified, uniform, or serving:STEPS "
                "for the schedule of so many steps, 1 to 999"
            )

    @property
    def peak(self) -> float:
        """The largest learning rate of the run."""
        return self.rate * math.sqrt(self.batch) if self.scaling == SQRT else self.rate

    def together(self, models: int) -> "Recipe":
        """Return the recipe of so many `models` in one run, each of which has this batch and this rate."""
        return replace(self, batch=self.batch * models, rate=self.peak, scaling=NONE)

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0: up, flat, down (all linear)."""
        up = (step + 1) / max(self.warmup, 1)
        down = (self.steps - step) / max(self.decay, 1)
        return self.peak * min(1.0, up, down)

    def identity(self) -> Mapping[str, Any]:
        """Return what a resumed run must have in common with the run it resumes."""
        return {**asdict(self), "betas": list(self.betas)}
