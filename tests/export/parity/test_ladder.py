"""Faults planted where an expert comes from and where its images come out; the rungs between have their own
tests (test_graph, test_parity, test_compiled).
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from aptp.checkpoint.reader import Checkpoint
from export.build.plan import BuildSpec
from export.graphs import expert
from export.parity import image, ladder
from runtime.errors import OutputError, ParityError


@pytest.fixture(scope="module")
def climb(mini):
    """The first rung for expert 0 under a code, where the slice gives what `change` makes of its outputs."""
    checkpoint = Checkpoint.open(mini)
    signature = expert.expert_signature(4, checkpoint.latent_multiple, 77, 32)
    feeds = [
        {**feed, "timestep": torch.full_like(feed["timestep"], 500.0)} for feed in ladder.cases(signature, {})
    ]

    def rung(change=lambda output: output, name="0"):
        sliced = checkpoint.expert("0")
        outputs = ladder.outputs(expert.ExpertGraph(checkpoint.expert(name)).eval(), feeds)
        code = checkpoint.architectures[0]
        return ladder.masked_equals_sliced(
            sliced, checkpoint.dense(), code, feeds, list(map(change, outputs))
        )

    return rung


def test_a_slice_that_is_the_masked_unet_passes(climb):
    assert climb() <= 1e-5


def test_another_slice_is_caught(climb):
    with pytest.raises(ParityError, match="masked = sliced"):
        climb(name="1")


def test_a_slice_that_is_no_number_is_caught(climb):
    with pytest.raises(ParityError, match="masked = sliced"):
        climb(lambda output: np.full_like(output, np.nan))


@pytest.fixture
def spec(mini, tmp_path):
    return BuildSpec(mini, tmp_path / "b", ("0",), ("ddim",), (), None, tmp_path / "cache", 1, 1, 1 << 30)


@pytest.fixture
def drawn(spec, monkeypatch, tmp_path_factory):
    """The last rung for expert 0, where the runtime draws what `change` makes of its image."""
    from runtime import Pipeline
    from tests.checkpoints import build_mini

    built, generate = build_mini(tmp_path_factory), Pipeline.generate

    def rung(change):
        def changed(*words, **settings):
            return [SimpleNamespace(pixels=change(made.pixels)) for made in generate(*words, **settings)]

        monkeypatch.setattr(Pipeline, "generate", changed)
        return image.compare(built, "0", spec, lambda stage, share: None)

    return rung


def test_the_runtimes_image_is_diffusers(drawn):
    assert drawn(lambda pixels: pixels) <= 1e-3


def test_a_blank_image_is_caught(drawn):
    with pytest.raises(OutputError, match="runtime: the output is constant at 127"):
        drawn(lambda pixels: np.full_like(pixels, 127))


def test_an_image_of_something_else_is_caught(drawn):
    with pytest.raises(ParityError, match="image = diffusers"):
        drawn(lambda pixels: pixels[::-1])
