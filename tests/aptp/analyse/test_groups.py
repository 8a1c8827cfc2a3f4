"""Groups hold every prompt once, and cost what their codes cost."""

import numpy as np
import pytest

from aptp.analyse.groups import groupings
from aptp.data.sample import Sample
from aptp.data.scenes.source import Scenes

BUDGETS = [0.5, 0.9]


def plain(*captions: str) -> list[Sample]:
    return [Sample(caption, np.zeros((1, 1, 3), np.uint8)) for caption in captions]


def test_scenes_are_grouped_by_what_is_known_of_them() -> None:
    samples = [Scenes("test")[i] for i in range(60)]
    codes = [int(sample.metadata["scene"].tier == "word") for sample in samples]
    by_tier, by_amount, by_length = groupings(samples, codes, BUDGETS)
    assert [group.name for group in by_tier.groups] == ["single", "count", "pair", "word"]
    assert [group.budget[0] for group in by_tier.groups] == pytest.approx([0.5, 0.5, 0.5, 0.9])
    assert by_amount.groups[-1].name == "a written word"
    assert by_tier.information > by_length.information
    for grouping in (by_tier, by_amount, by_length):
        assert sum(sum(group.counts) for group in grouping.groups) == 60


def test_other_prompts_are_grouped_by_their_length() -> None:
    samples = plain(*(" ".join(["word"] * n) for n in range(1, 9)))
    (grouping,) = groupings(samples, [0, 0, 0, 0, 1, 1, 1, 1], BUDGETS)
    assert [group.name for group in grouping.groups] == ["1 to 3", "4 to 5", "6 to 7", "8"]
    assert [group.counts for group in grouping.groups] == [[3, 0], [1, 1], [0, 2], [0, 1]]


def test_prompts_of_one_length_are_one_group() -> None:
    (grouping,) = groupings(plain("a b", "c d"), [0, 1], BUDGETS)
    assert [(group.name, group.counts) for group in grouping.groups] == [("2", [1, 1])]
    assert grouping.information == 0
