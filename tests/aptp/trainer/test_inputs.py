"""Captions through tokenizer and encoder, and their dropout."""

import pytest
import torch

from aptp.model.encoding import TextEncoding
from aptp.pipeline import untrained_pipeline
from aptp.presets import PRESETS
from aptp.trainer.inputs import drop
from tests.aptp.trainer.toys import drawn


@pytest.fixture(scope="module")
def encoding():
    pipeline = untrained_pipeline(PRESETS["tiny"], 0)
    return TextEncoding(pipeline.tokenizer, pipeline.text_encoder)


def test_hidden_states_and_mask(encoding):
    encoded = encoding(["a red circle", ""])
    assert encoded.hidden.shape == (2, 32, 160)
    assert encoded.mask.sum(1).tolist() == [5, 2]


def test_a_caption_is_encoded_the_same_alone_and_in_company(encoding):
    together = encoding(["a red circle", "three blue stars on a white background"]).hidden[0]
    torch.testing.assert_close(encoding(["a red circle"]).hidden[0], together)


def test_gradients_reach_an_encoder_that_is_trained(encoding):
    encoding(["a red circle"]).hidden.square().sum().backward()
    assert all(p.grad is not None for p in encoding._encoder.parameters())


def test_about_a_tenth_is_dropped():
    dropped = drop(["caption"] * 5000, drawn(5000))
    assert set(dropped) == {"", "caption"}
    assert dropped.count("") / 5000 == pytest.approx(0.1, abs=0.015)
