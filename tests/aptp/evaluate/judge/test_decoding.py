"""Answers to layouts and back: what targets say, decoding reads."""

import pytest
import torch
from torch.nn import functional as F

from aptp.data.scenes.compose import Layout
from aptp.data.scenes.scene import Background
from aptp.data.scenes.source import Scenes
from aptp.data.scenes.vocabulary import LETTERS, ROWS, SIDE
from aptp.evaluate.judge.decoding import readings
from aptp.evaluate.judge.judge_data import JudgeSamples
from aptp.evaluate.judge.network import BLANK, COARSE, GRID, GROUND, READS, THING, WORD, Outputs
from aptp.evaluate.judge.targets import IGNORED, row_of, targets

SURE = 9.0


def perfect(layouts):
    """Return the output of a network that has learned the targets."""
    wanted = targets(layouts)
    letters = torch.where(wanted.letters == IGNORED, BLANK, wanted.letters)
    present = wanted.written.float()[:, None]
    return Outputs(
        wanted.centre.clamp(1e-4, 1 - 1e-4).logit(),
        {
            name: SURE * F.one_hot(classes.clamp(min=0), THING[name]).permute(0, 3, 1, 2).float()
            for name, classes in wanted.things.items()
        },
        SURE * F.one_hot(letters, BLANK + 1).float(),
        {
            "present": SURE * (2 * present - 1),
            **{
                name: SURE * F.one_hot(classes.clamp(min=0), WORD[name]).float()
                for name, classes in wanted.word.items()
            },
        },
        {name: SURE * F.one_hot(classes, GROUND[name]).float() for name, classes in wanted.ground.items()},
        torch.zeros(len(layouts), COARSE),
    )


@pytest.mark.parametrize("source", [Scenes, JudgeSamples])
def test_decoding_undoes_targets(source):
    pictures = source(seed=5)
    layouts = [pictures[i].metadata["layout"] for i in range(300)]
    for layout, reading in zip(layouts, readings(perfect(layouts)), strict=True):
        assert reading.background == layout.background
        wanted = {(mark.shape, mark.colour, mark.size): (mark.x, mark.y) for mark in layout.marks}
        assert len(reading.detections) == len(layout.marks)
        for found in reading.detections:
            assert (found.shape, found.colour, found.size) in wanted
            assert any(
                abs(mark.x - found.x) + abs(mark.y - found.y) < 2
                for mark in layout.marks
                if (mark.shape, mark.colour, mark.size) == (found.shape, found.colour, found.size)
            )
        if layout.word:
            assert reading.lettering.text == layout.word
            assert reading.lettering.colour == layout.colour
            assert reading.lettering.row == ROWS[row_of(layout.y)]
        else:
            assert reading.lettering is None


@pytest.mark.parametrize("value", [-1e6, 0.0, 1e-9, 1e6])
def test_every_output_has_a_reading(value):
    outputs = perfect([Layout(Background("grey", "plain"))])
    flat = Outputs(
        torch.full_like(outputs.centre, value),
        {name: torch.full_like(logits, value) for name, logits in outputs.things.items()},
        torch.full_like(outputs.letters, value),
        {name: torch.full_like(logits, value) for name, logits in outputs.word.items()},
        {name: torch.full_like(logits, value) for name, logits in outputs.ground.items()},
        outputs.features,
    )
    (reading,) = readings(flat)
    assert len(reading.detections) == (64 if value > 0 else 0)  # of cells all alike, every other one
    assert all(0 <= found.x <= SIDE and 0 <= found.y <= SIDE for found in reading.detections)


def read_columns(*chances):
    """The text of columns given as {letter: chance}, the rest of each being blank."""
    outputs = perfect([Layout(Background("grey", "plain"), word="moon", colour="red")])
    columns = torch.full((GRID * READS, BLANK + 1), 1e-9)
    columns[:, BLANK] = 1.0
    for column, chance in zip(columns, chances, strict=False):
        column[BLANK] -= sum(chance.values())
        for letter, share in chance.items():
            column[LETTERS.index(letter)] = share
    outputs.letters[0] = columns.log()
    (reading,) = readings(outputs)
    return reading.lettering.text


def test_a_run_of_ink_is_one_letter():
    assert read_columns({"a": 0.9}, {"a": 0.9}, {}, {"a": 0.9}, {"b": 0.2}, {"b": 0.7}) == "aab"


def test_a_run_is_the_letter_that_most_of_it_is():
    assert read_columns({}, {"c": 0.6, "o": 0.3}, {"o": 0.9}, {"o": 0.8}, {}) == "o"


def test_letters_that_are_one_or_the_other_are_still_letters():
    assert read_columns({"i": 0.3, "l": 0.35}, {"i": 0.2, "l": 0.25}) == "l"
