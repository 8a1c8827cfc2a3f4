"""The scoring of a generator on held-out captions, by the judge's verdicts."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aptp.data.sample import Sample
from aptp.data.scenes.scene import TIERS, Scene
from aptp.data.scenes.source import Scenes
from aptp.evaluate.detections import Pictures, Reading
from aptp.evaluate.judge.reader import Judge
from aptp.evaluate.scene_score import Score, binding, score
from aptp.score.distances import Features
from aptp.score.intervals import Rate, bootstrap

EVERY_TIER = "every tier"
ORDER = (
    *("all", "both", "count", "shape", "colour", "size", "position", "relation"),
    *("letters", "word", "row", "background", "texture"),
)
REFERENCE = 2000  # renders that FD-scenes compares with, of all tiers alike
REFERENCE_SEED = 1 << 20  # of those; captions are drawn from other seeds


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judge's verdict on one picture. `binding` is empty but for pairs."""

    sample: Sample
    reading: Reading
    score: Score
    binding: Mapping[str, str]

    @property
    def scene(self) -> Scene:
        scene: Scene = self.sample.metadata["scene"]
        return scene


def held_out(per_tier: int, seed: int = 0) -> list[Sample]:
    """Return `per_tier` scenes of each tier whose captions training never uses, with renders of them."""
    tiers = [Scenes("test", seed=seed, shares={tier: 1.0}) for tier in TIERS]
    return [scenes[i] for scenes in tiers for i in range(per_tier)]


def unseen(count: int, seed: int = 0) -> list[Sample]:
    """Return `count` scenes whose captions training never uses, with tiers as often as training has them."""
    scenes = Scenes("test", seed=seed)
    return [scenes[i] for i in range(count)]


def examine(judge: Judge, samples: Sequence[Sample], pictures: Pictures) -> list[Verdict]:
    """Return the verdict on each of `pictures`, drawn to the captions of `samples`."""
    scenes: list[Scene] = [sample.metadata["scene"] for sample in samples]
    return [
        Verdict(sample, reading, score(scene, reading), binding(scene, reading))
        for sample, scene, reading in zip(samples, scenes, judge.read(pictures), strict=True)
    ]


def rates(verdicts: Sequence[Verdict]) -> dict[str, dict[str, Rate]]:
    """Return rates by tier and measure.

    EVERY_TIER, the first, counts measures of the same attribute together: the first and the second thing's
    shape are shapes.
    """
    values: dict[str, dict[str, list[float]]] = {EVERY_TIER: defaultdict(list)}
    for verdict in verdicts:
        for measure, value in verdict.score.items():
            values[EVERY_TIER][_attribute(measure)].append(value)
            values.setdefault(verdict.scene.tier, defaultdict(list))[measure].append(value)
    return {
        tier: {measure: Rate.of(measures[measure]) for measure in sorted(measures, key=_rank)}
        for tier, measures in values.items()
    }


def differences(
    verdicts: Sequence[Verdict], others: Sequence[Verdict]
) -> dict[str, tuple[float, float, float]]:
    """By measure of EVERY_TIER: how much more `verdicts` show than `others` do of the same captions, and
    the ends of the 95 % interval of that, picture by picture.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for one, other in zip(verdicts, others, strict=True):
        assert one.sample.caption == other.sample.caption
        for measure, value in one.score.items():
            values[_attribute(measure)].append(value - other.score[measure])
    return {
        measure: (sum(values[measure]) / len(values[measure]), *bootstrap(values[measure]))
        for measure in sorted(values, key=_rank)
    }


def _attribute(measure: str) -> str:
    """Return the attribute of a measure: `second colour` is about colour."""
    return measure.split()[-1]


def _rank(measure: str) -> tuple[int, str]:
    return ORDER.index(_attribute(measure)), measure


def bindings(verdicts: Sequence[Verdict]) -> dict[str, Counter[str]]:
    """Count, for each attribute and the pairs that differ in it, how many are right, swapped, other."""
    counts: dict[str, Counter[str]] = {"shape": Counter(), "colour": Counter()}
    for verdict in verdicts:
        for attribute, found in verdict.binding.items():
            counts[attribute][found] += 1
    return counts


def reference(judge: Judge, count: int = REFERENCE) -> Features:
    """Return the features that FD-scenes measures from: those of renders of held-out scenes, tiers in equal
    shares.
    """
    return judge.features(
        np.stack([sample.image for sample in held_out(count // len(TIERS), REFERENCE_SEED)])
    )
