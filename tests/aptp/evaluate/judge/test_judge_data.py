"""The judge's training data: every letter, everywhere, and nothing cut off."""

from collections import Counter
from itertools import combinations
from random import Random

import numpy as np
import pytest

from aptp.data.scenes.letters import ends
from aptp.data.scenes.render import render
from aptp.data.scenes.vocabulary import COLOURS, LETTERS, SHAPES, SIDE, SIZES, WRITTEN
from aptp.evaluate.judge.judge_data import MAX_THINGS, JudgeSamples, Jumbles, jumble, strings


@pytest.fixture(scope="module")
def words():
    return strings(Random(0), 3000)


@pytest.fixture(scope="module")
def jumbles(words):
    return [jumble(Random(i), words) for i in range(600)]


def test_strings_use_every_letter(words):
    assert {len(word) for word in words} == {3, 4, 5}
    counts = Counter("".join(words))
    mean = counts.total() / len(LETTERS)
    assert all(0.5 * mean < counts[letter] < 2 * mean for letter in LETTERS)


def test_strings_are_not_words_and_fit(words):
    assert len(set(words) & set(WRITTEN)) < 5
    assert max(ends(word)[-1] for word in words) < SIDE - 2


def test_letters_end_where_their_ink_does():
    for word in WRITTEN:
        found = ends(word)
        assert len(found) == len(word) + 1
        assert list(found) == sorted(found)
    from aptp.data.scenes.compose import Layout
    from aptp.data.scenes.scene import Background

    inked = render(Layout(Background("black", "plain"), word="milk", colour="yellow")).max((0, 2)) > 100
    left, right = np.flatnonzero(inked)[[0, -1]]
    assert right + 1 - left == pytest.approx(ends("milk")[-1], abs=3)


def test_jumbles_are_drawn_thing_by_thing(jumbles):
    marks = [mark for layout in jumbles for mark in layout.marks]
    for what, names in (("shape", SHAPES), ("colour", COLOURS), ("size", SIZES)):
        assert {getattr(mark, what) for mark in marks} == set(names)
    assert {len(layout.marks) for layout in jumbles} == set(range(MAX_THINGS + 1))
    assert any(layout.word and layout.marks for layout in jumbles)
    assert any(not layout.word and not layout.marks for layout in jumbles)
    twos = [layout.marks for layout in jumbles if len(layout.marks) == 2]
    assert sum(one.colour == other.colour for one, other in twos) < len(twos) / 4


def test_nothing_touches_in_a_jumble(jumbles):
    for layout in jumbles:
        for one, other in combinations(layout.marks, 2):
            apart = ((one.x - other.x) ** 2 + (one.y - other.y) ** 2) ** 0.5
            assert apart > SIZES[one.size] + SIZES[other.size]
        for mark in layout.marks:
            assert SIZES[mark.size] < min(mark.x, mark.y)
            assert max(mark.x, mark.y) < SIDE - SIZES[mark.size]
            assert not layout.word or abs(mark.y - layout.y) > SIZES[mark.size] + 10


def test_lessons_take_turns_and_are_the_same_every_time():
    lessons, again, other = JudgeSamples(seed=3), JudgeSamples(seed=3), JudgeSamples(seed=4)
    for i in (0, 1, 14, 15):
        assert np.array_equal(lessons[i].image, again[i].image)
        assert bool(lessons[i].caption) == (i % 2 == 0)
    assert not np.array_equal(other[1].image, lessons[1].image)


def test_jumbles_by_position(words):
    source = Jumbles(words, seed=1)
    assert source[5].metadata["layout"] == Jumbles(words, seed=1)[5].metadata["layout"]
    assert source[5].metadata["layout"] != source[6].metadata["layout"]
