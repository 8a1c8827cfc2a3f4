"""The seconds that the parts of one UNet call take on one machine, by width (docs/PROFILE.md).

A profile holds every sample; medians, a cost model and advice are derived from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median, quantiles
from typing import Any

FIXED = "fixed"  # the kind of what no gate makes smaller


@dataclass(frozen=True, slots=True)
class Setting:
    """The conditions of a measurement: `engine` and `precision` that ran it, `threads` given to it, `rows` of
    one call (2 where an image is guided), `latent` sides, text `tokens`.
    """

    engine: str
    precision: str
    threads: int
    rows: int
    latent: tuple[int, int]
    tokens: int

    def __str__(self) -> str:
        height, width = self.latent
        return (
            f"{self.engine} in {self.precision}, {self.threads} threads, "
            f"{self.rows} x {height}x{width} latents, {self.tokens} tokens"
        )


@dataclass(frozen=True)
class Measured:
    """A part of the UNet and the `modules` it stands for, which all compute the same.

    `samples`: gates kept → seconds of each call; 0 kept is the part skipped, where that leaves anything to
    compute. `steady`: whether every warm-up settled. `pace`: what the machine gave beside it, in
    multiply-accumulates per second of one large product. A part of kind `FIXED` has one gate, always kept.
    """

    modules: tuple[str, ...]
    kind: str
    gates: int
    chunk: int
    steady: bool
    pace: float
    samples: Mapping[int, tuple[float, ...]]

    @cached_property
    def seconds(self) -> Mapping[int, float]:
        """The median by number of gates kept, fewest first."""
        return {kept: median(self.samples[kept]) for kept in sorted(self.samples)}

    @cached_property
    def noise(self) -> Mapping[int, float]:
        """Half the interquartile range, in seconds, by number of gates kept."""
        return {kept: _half_spread(self.samples[kept]) for kept in sorted(self.samples)}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole UNet, measured to validate the sum of its parts.

    `share`: of the dense MACs; `widths` and `depths`: its architecture, in its JSON form.
    """

    share: float
    widths: Mapping[str, str]
    depths: Mapping[str, bool]
    steady: bool
    samples: tuple[float, ...]

    @property
    def architecture(self) -> dict[str, Any]:
        return {"widths": dict(self.widths), "depths": dict(self.depths)}

    @property
    def seconds(self) -> float:
        return median(self.samples)


@dataclass(frozen=True)
class Profile:
    """A profile; until it is `complete` only the command that makes it may use it."""

    setting: Setting
    environment: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = False
    parts: tuple[Measured, ...] = ()
    wholes: tuple[Whole, ...] = ()

    @cached_property
    def by_module(self) -> Mapping[tuple[str, bool], Measured]:
        """(module, whether it has gates) → its part. A transformer's own layers are fixed, and hold parts
        that are not.
        """
        return {(module, part.kind != FIXED): part for part in self.parts for module in part.modules}


def _half_spread(samples: tuple[float, ...]) -> float:
    if len(samples) < 2:
        return 0.0
    low, _, high = quantiles(samples, n=4, method="inclusive")
    return (high - low) / 2
