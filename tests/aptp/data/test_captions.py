"""Captions: tidied, freed of a stock phrase, cut at sentence ends and nowhere else."""

import pickle

import pytest

from aptp.data.captions import Window, shortened, tidy, without_prefix
from aptp.model.tokenizer import make_tokenizer

THREE = 'A cat sits. It says "No." The 3.5 m wall is red! The end'


def words(limit):
    return lambda caption: len(caption.split()) <= limit


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        (20, THREE),
        (12, 'A cat sits. It says "No." The 3.5 m wall is red!'),
        (6, 'A cat sits. It says "No."'),
        (5, "A cat sits."),
        (2, THREE),
    ],
)
def test_whole_sentences_are_kept(limit, found):
    assert shortened(THREE, words(limit)) == found


def test_a_tokenizer_says_what_fits():
    fits = pickle.loads(pickle.dumps(Window(make_tokenizer(16))))  # as loading processes are given it
    assert fits("red " * 3)
    assert not fits("red " * 60)
    assert len(shortened("A red star. " * 30, fits)) < 60


def test_white_space_and_control_characters():
    assert tidy(" a\tcat\x00 on\r\n  a mat\u200b ") == "a cat on a mat"
    assert tidy("\n \t") == ""


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        (" This image displays: A cat.", "A cat."),
        ("This image displays a cat.", "a cat."),
        ("A cat. This image displays: no.", "A cat. This image displays: no."),
    ],
)
def test_the_stock_phrase(caption, found):
    assert without_prefix(caption) == found
