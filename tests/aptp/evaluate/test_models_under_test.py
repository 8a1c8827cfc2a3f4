"""The models that can be examined, and the errors for what cannot."""

from dataclasses import replace

import numpy as np
import pytest

from aptp.checkpoint.reader import Checkpoint
from aptp.evaluate.models_under_test import Subjects
from aptp.evaluate.sampling import SamplingOptions
from aptp.evaluate.verdicts import held_out
from runtime.errors import CheckpointError, UsageError


@pytest.fixture(scope="module")
def subjects(checkpoint):
    return Subjects(checkpoint, SamplingOptions(steps=1))


@pytest.fixture(scope="module")
def samples():
    return held_out(2)


def test_subjects_by_name(subjects):
    assert subjects.names == ("dense", "mixed", "0", "1", "render", "vae")
    assert subjects.chosen("mixed, 1,mixed") == ["mixed", "1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("dnese", r"no 'dnese' \(did you mean 'dense'"), ("0,2", "no '2'; there is dense"), ("", "no ''")],
)
def test_others_are_refused(subjects, text, message):
    with pytest.raises(UsageError, match=message):
        subjects.chosen(text)


def test_each_caption_is_drawn_by_the_expert_it_is_routed_to(subjects, samples):
    codes = subjects.codes([sample.caption for sample in samples])
    assert len(set(codes)) == 2, "these captions are to use both experts"
    mixed = subjects.draw("mixed", samples).astype(int)
    for code in (0, 1):
        alone = subjects.draw(str(code), samples)
        apart = abs(mixed - alone).reshape(len(samples), -1).max(1)
        assert [distance <= 1 for distance in apart] == [each == code for each in codes]


def test_renders_are_what_the_captions_were_made_for(subjects, samples):
    assert np.array_equal(subjects.draw("render", samples)[3], samples[3].image)


def test_reconstructions_are_the_vae_s(subjects, samples):
    told = []
    found = subjects.draw("vae", samples, told.append)
    assert (found.shape, sum(told)) == ((8, 64, 64, 3), 8)
    assert (found != subjects.draw("render", samples)).any()


def test_pictures_have_the_size_of_the_checkpoint(folder, samples):
    checkpoint = Checkpoint.open(folder)
    checkpoint.record = replace(checkpoint.record, size=(32, 48))
    assert Subjects(checkpoint, SamplingOptions(steps=1)).draw("0", samples[:2]).shape == (2, 32, 48, 3)


def test_a_pipeline_of_another_kind_is_refused(folder):
    checkpoint = Checkpoint.open(folder)
    checkpoint.__dict__["pipeline"] = "StableDiffusionXLPipeline"
    with pytest.raises(CheckpointError, match="is a StableDiffusionXLPipeline"):
        Subjects(checkpoint, SamplingOptions())
