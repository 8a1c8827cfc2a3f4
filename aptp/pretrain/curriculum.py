"""The curriculum of the UNet: shares of tiers that change during training."""

from collections.abc import Mapping, Sequence

from aptp.data.sample import Sample
from aptp.data.scenes.source import SHARES, Scenes

# Both objects of a pair come out right after some half a million pictures; counts and spelling take longer.
PHASES: Sequence[tuple[int, Mapping[str, float]]] = (
    (0, SHARES),
    (512_000, {"single": 0.2, "count": 0.25, "pair": 0.1, "word": 0.45}),
)


class Curriculum:
    """A Source of training scenes whose shares of tiers change at given positions.

    `phases` are (first position, share of each tier), by position.
    """

    def __init__(self, *, seed: int = 0, phases: Sequence[tuple[int, Mapping[str, float]]] = PHASES) -> None:
        assert phases[0][0] == 0
        self._phases = [(first, Scenes(seed=seed, shares=shares)) for first, shares in phases]

    def __getitem__(self, position: int) -> Sample:
        scenes = next(scenes for first, scenes in reversed(self._phases) if position >= first)
        return scenes[position]
