"""Verdicts on pictures, and what they come to."""

from collections import Counter

import numpy as np
import pytest

from aptp.data.scenes.scene import TIERS
from aptp.data.scenes.source import split_of
from aptp.evaluate.detections import Reading
from aptp.evaluate.verdicts import (
    EVERY_TIER,
    Verdict,
    bindings,
    differences,
    examine,
    held_out,
    rates,
    reference,
)
from aptp.score.distances import frechet
from aptp.score.intervals import Rate


@pytest.fixture(scope="module")
def samples():
    return held_out(50)


@pytest.fixture(scope="module")
def renders(samples):
    return np.stack([sample.image for sample in samples])


def verdict(sample, scores, binding=None):
    return Verdict(sample, Reading(sample.metadata["layout"].background), scores, binding or {})


def test_held_out_captions_of_every_tier(samples):
    assert Counter(sample.metadata["scene"].tier for sample in samples) == dict.fromkeys(TIERS, 50)
    assert {split_of(sample.caption) for sample in samples} == {"test"}
    assert [sample.caption for sample in held_out(50)] == [sample.caption for sample in samples]
    assert [sample.caption for sample in held_out(50, seed=1)] != [sample.caption for sample in samples]


def test_the_judge_finds_that_renders_show_their_captions(judge, samples, renders):
    found = rates(examine(judge, samples, renders))
    assert set(found) == {EVERY_TIER, *TIERS}
    assert found[EVERY_TIER]["all"].count == 200
    assert found[EVERY_TIER]["all"].share >= 0.99
    for tier in TIERS:
        assert found[tier]["all"].share >= 0.98


def test_pictures_of_other_captions_are_caught(judge, samples, renders):
    found = rates(examine(judge, samples, np.roll(renders, 1, axis=0)))
    assert found[EVERY_TIER]["all"].share <= 0.02
    assert found["pair"]["both"].share <= 0.02


def test_measures_of_the_same_attribute_are_counted_together():
    single, _, pair, _ = held_out(1)
    found = rates(
        [
            verdict(single, {"shape": 1, "colour": 0, "all": 0}),
            verdict(pair, {"first shape": 0, "second shape": 1, "first colour": 1, "all": 0}),
        ]
    )
    assert found[EVERY_TIER] == {"all": Rate(0, 2), "shape": Rate(2, 3), "colour": Rate(1, 2)}
    assert found["pair"] == {
        "all": Rate(0, 1),
        "first shape": Rate(0, 1),
        "second shape": Rate(1, 1),
        "first colour": Rate(1, 1),
    }
    assert list(found["pair"])[0] == "all"


def test_differences_are_picture_by_picture(samples):
    ones = [verdict(sample, {"first shape": 1, "all": i % 2}) for i, sample in enumerate(samples)]
    others = [verdict(sample, {"first shape": 1, "all": (i + 1) % 2}) for i, sample in enumerate(samples)]
    found = differences(ones, others)
    assert found["shape"] == (0, 0, 0)
    mean, low, high = found["all"]
    assert mean == 0
    assert -0.2 < low < 0 < high < 0.2
    assert differences(ones, ones)["all"] == (0, 0, 0)


def test_bindings_are_counted_by_attribute(samples):
    found = bindings(
        [
            verdict(samples[0], {}, {"shape": "right", "colour": "swapped"}),
            verdict(samples[0], {}, {"colour": "swapped"}),
            verdict(samples[0], {}),
        ]
    )
    assert found == {"shape": Counter(right=1), "colour": Counter(swapped=2)}


def test_worse_pictures_are_further_from_renders(judge, renders):
    scenes = reference(judge, 400)

    def distance(pictures):
        return frechet(judge.features(pictures), scenes)

    near = distance(renders)
    noisy = np.clip(renders + np.random.default_rng(0).normal(0, 40, renders.shape), 0, 255).astype(np.uint8)
    far = distance(np.random.default_rng(0).integers(0, 256, renders.shape, np.uint8))
    assert near < distance(noisy) < far
    assert near < distance(renders[:50])  # single things alone are not scenes
