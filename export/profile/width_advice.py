"""Advice on widths: the cost of an expert's layers by a profile, and widths that this machine runs faster.

A layer *sits above a step* where its last gates cost far more than gates cost on average, so that dropping
them pays; *padding pays* where more gates were measured to cost less, since dead gates change nothing. This
module decides what counts as either; differences within the noise of the samples never do. Changes no expert.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from aptp.checkpoint.reader import Checkpoint
from aptp.space.architecture import Architecture, full
from aptp.space.groups import inside
from aptp.space.measured_cost import table_cost
from aptp.space.profile import FIXED, Measured, Profile
from runtime.formats import DENSE

# A gate is dear where it costs this many times what a gate of its layer costs on average.
DEAR = 3.0


@dataclass(frozen=True, slots=True)
class Advice:
    """A better width for one module: it keeps `kept` of `gates`; with `better` it would save `saved` seconds
    a call.
    """

    module: str
    kept: int
    gates: int
    better: int
    saved: float

    def __str__(self) -> str:
        change = (
            f"padding to {self.better}"
            if self.better > self.kept
            else f"dropping {self.kept - self.better}, to {self.better},"
        )
        return f"{self.module} keeps {self.kept} of {self.gates}: {change} saves {1e3 * self.saved:.3g} ms"


@dataclass(frozen=True, slots=True)
class WidthForecast:
    """The cost of an expert by a profile: `seconds` a call, `share` of dense, and what would make it
    faster.
    """

    seconds: float
    share: float
    advice: tuple[Advice, ...]

    def __str__(self) -> str:
        said = f"{1e3 * self.seconds:.4g} ms a call by the profile, {self.share:.3f} of dense"
        if not self.advice:
            return f"{said}; no width to align or pad"
        first = max(self.advice, key=lambda advice: advice.saved)
        saved = 1e3 * sum(advice.saved for advice in self.advice)
        return f"{said}; {len(self.advice)} widths to align or pad, {saved:.3g} ms in all: {first}, the most"


def forecasts(profile: Profile, checkpoint: Checkpoint, codes: Sequence[str]) -> dict[str, WidthForecast]:
    """Return the forecast of each code.

    Raises TableError where `profile` is of another UNet, size or text length.
    """
    cost = table_cost(profile, checkpoint.space, *checkpoint.latent_size, checkpoint.tokenizer["length"])
    found = {}
    for code in codes:
        architecture = full(cost.space) if code == DENSE else checkpoint.architectures[int(code)]
        seconds = cost.of(architecture)
        found[code] = WidthForecast(seconds, seconds / cost.dense, tuple(advise(profile, architecture)))
    return found


def steps(part: Measured) -> list[int]:
    """Return the numbers of kept gates just above which the cost jumps."""
    if part.kind == FIXED or part.gates < 2:
        return []
    usual = _usual(part)
    return [
        low
        for low, high in pairwise(kept for kept in part.seconds if kept)
        if high == low + 1 and _excess(part, low, high) > max((DEAR - 1) * usual, _noise(part, low, high))
    ]


def advise(profile: Profile, architecture: Architecture) -> Iterator[Advice]:
    """Say what would make the expert of `architecture` faster than it is, layer by layer."""
    for group, columns in architecture.space.columns():
        kept = int(architecture.keep[columns].sum())
        if any(inside(group.module, skipped) for skipped in architecture.dropped) or kept == group.gates:
            continue
        part = profile.by_module[group.module, True]
        better = _padded(part, kept) or _below_step(part, kept)
        if better:
            saved = _seconds(part, kept) - part.seconds[better]
            yield Advice(group.module, kept, group.gates, better, saved)


def _padded(part: Measured, kept: int) -> int | None:
    """Return the cheapest number of gates above `kept` that is cheaper than `kept` beyond noise."""
    wider = [more for more in part.seconds if more > kept]
    best = min(wider, key=lambda more: part.seconds[more])
    saved = _seconds(part, kept) - part.seconds[best]
    return best if saved > _noise(part, *_around(part, kept), best) else None


def _below_step(part: Measured, kept: int) -> int | None:
    """Return the step that `kept` sits above, if its gates above it are dear."""
    lower = [step for step in steps(part) if step < kept]
    if not lower:
        return None
    saved = _seconds(part, kept) - part.seconds[lower[-1]]
    return lower[-1] if saved > DEAR * _usual(part) * (kept - lower[-1]) else None


def _usual(part: Measured) -> float:
    """Return the seconds that a gate costs on average."""
    return max(0.0, (part.seconds[part.gates] - part.seconds[1]) / (part.gates - 1))


def _excess(part: Measured, low: int, high: int) -> float:
    """Return how much more the gates from `low` to `high` cost than so many usually do."""
    return part.seconds[high] - part.seconds[low] - _usual(part) * (high - low)


def _seconds(part: Measured, kept: int) -> float:
    """Return the seconds with `kept` gates, along the line between the nearest that were measured."""
    counts = [count for count in part.seconds if count]
    return float(np.interp(kept, counts, [part.seconds[count] for count in counts]))


def _around(part: Measured, kept: int) -> tuple[int, ...]:
    """Return the measured counts that `_seconds` of `kept` comes from."""
    counts = [count for count in part.seconds if count]
    return max(count for count in counts if count <= kept), min(count for count in counts if count >= kept)


def _noise(part: Measured, *counts: int) -> float:
    """Return how much medians may differ by without meaning anything."""
    return sum(part.noise[count] for count in set(counts))
