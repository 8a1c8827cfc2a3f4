"""Routes that depend on the caption alone, and information in bits."""

import math

import numpy as np
import pytest
import torch

from aptp.evaluate.routing import chance_information, changed_by_batch, crossed, mutual_information, routes
from aptp.model.encoding import Encoded
from aptp.model.router import Router


@pytest.mark.parametrize(
    ("table", "bits"),
    [
        ([[5, 0], [0, 5]], 1.0),
        ([[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0], [0, 0, 0, 3]], 2.0),
        ([[1, 2], [2, 4], [4, 8]], 0.0),
        ([[5, 5, 0, 0], [0, 0, 7, 3]], 1.0),
        ([[9, 0], [9, 0]], 0.0),
        ([[3, 1], [1, 3]], 1 + 0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)),
    ],
)
def test_mutual_information(table, bits):
    assert mutual_information(table) == pytest.approx(bits, abs=1e-12)
    assert mutual_information(np.transpose(table)) == pytest.approx(bits, abs=1e-12)


def test_chance_is_what_independent_draws_come_to():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        table = np.zeros((4, 4), int)
        np.add.at(table, (rng.integers(4, size=500), rng.integers(4, size=500)), 1)
        found.append(mutual_information(table))
    assert np.mean(found) == pytest.approx(chance_information(np.full((4, 4), 500 / 16)), rel=0.05)


def test_rows_that_never_occur_are_not_chance():
    assert chance_information([[5, 5], [5, 5], [0, 0]]) == chance_information([[5, 5], [5, 5]])


def test_crossed_counts():
    assert crossed([0, 2, 2, 0], ["a", "a", "b", "a"], 3) == {"a": [2, 0, 1], "b": [0, 0, 1]}


def letters(captions):
    """A token per letter, embedded as a unit vector."""
    ids = torch.zeros(len(captions), 8, dtype=torch.long)
    for i, caption in enumerate(captions):
        ids[i, : len(caption)] = torch.tensor([ord(letter) - 96 for letter in caption])
    return Encoded(torch.eye(27)[ids], ids > 0)


@pytest.fixture
def router():
    router = Router(27, 27, 3)
    with torch.no_grad():
        router.predictor.weight.copy_(torch.eye(27))
        router.predictor.bias.zero_()
        router.codes[:, 1:4] = torch.eye(3)
    return router


def test_routes_follow_the_caption_in_any_batch(router):
    captions = ["a", "bb", "c", "abb", "cca", "b"] * 20
    alone = routes(router, letters, captions)
    assert alone == [0, 1, 2, 1, 2, 1] * 20
    assert changed_by_batch(router, letters, captions, alone) == 0


def test_routes_that_depend_on_the_batch_are_counted(router):
    class Watching(Router):
        def route(self, embedding, attention_mask):
            return torch.arange(len(embedding)) % 3

    captions = ["a"] * 30
    alone = routes(Watching(27, 27, 3), letters, captions)
    assert alone == [0] * 30
    assert changed_by_batch(Watching(27, 27, 3), letters, captions, alone) > 10
