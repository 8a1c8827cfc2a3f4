"""The layout questions: right answers for known pictures, and a loss that they bring to zero."""

import pytest
import torch

from aptp.data.scenes.compose import Layout, Mark
from aptp.data.scenes.scene import Background
from aptp.data.scenes.vocabulary import COLOURS, LETTERS, SHAPES, WRITTEN
from aptp.pretrain.layout_loss import CELLS, LETTERED, QUESTIONS, UNASKED, LayoutHead, answers

GREY = Background("grey", "dotted")
CIRCLE = Layout(GREY, (Mark("circle", "blue", "small", 12, 52),))
WORD = Layout(GREY, word="cat", colour="pink", x=33, y=12)


def test_a_thing_covers_its_cells_and_no_others():
    right = answers([CIRCLE])
    assert (right["cover"][0] == SHAPES.index("circle") + 1).nonzero().tolist() == [[6, 1]]
    assert (right["cover"][0] == 0).sum() == CELLS * CELLS - 1
    colours = right["colour"][0]
    assert colours[6, 1] == list(COLOURS).index("blue")
    assert (colours == UNASKED).sum() == CELLS * CELLS - 1


def test_letters_cover_the_words_row():
    right = answers([WORD])
    covered = (right["cover"][0] == LETTERED).nonzero().tolist()
    assert covered == [[row, column] for row in (0, 1, 2) for column in (2, 3, 4, 5)]
    assert right["word"][0].max() == WRITTEN.index("cat")
    assert (right["word"][0] >= 0).sum() == len(covered)
    assert [LETTERS[letter] for letter in right["letter"][0][1, 2:6]] == list("ccat")


def test_the_background_is_asked_everywhere():
    right = answers([CIRCLE, WORD])
    assert (right["ground"] == 1).all()
    assert (right["texture"] == 2).all()


def test_the_loss_is_zero_for_right_answers_and_finite_without_words():
    right = answers([CIRCLE])
    one_hot = torch.cat(
        [
            torch.nn.functional.one_hot(right[question].clamp(min=0), count) * 50.0
            for question, count in QUESTIONS.items()
        ],
        dim=-1,
    )
    head = LayoutHead(one_hot.shape[-1])
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(one_hot.shape[-1]))
        head.linear.bias.zero_()
        assert head.loss(one_hot, right).item() == pytest.approx(0, abs=1e-6)
        assert head.loss(-one_hot, right).item() > 10
