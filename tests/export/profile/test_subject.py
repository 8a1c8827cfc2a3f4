"""The subject of a profile, read off a checkpoint or off a pipeline that is to become one."""

import shutil

import pytest

from export.profile.subject import Subject
from runtime.errors import CheckpointError, Refused, SpaceError, UsageError
from tests.checkpoints import sign


@pytest.fixture
def pipeline(mini, tmp_path):
    """The diffusers folder that `mini` was made of, without a single weight."""
    folder = tmp_path / "pipeline"
    shutil.copytree(mini, folder, ignore=shutil.ignore_patterns("*.safetensors", "aptp.*", "experts"))
    return folder


def test_a_checkpoint_and_its_pipeline_are_one_subject(mini, pipeline):
    one, other = Subject.of(mini), Subject.of(pipeline)
    assert (one.latent, one.tokens, one.rows) == (other.latent, other.tokens, other.rows) == ((16, 16), 77, 2)
    assert one.space.widths == other.space.widths
    assert one.unet().device.type == "meta"


def test_the_size_is_in_pixels(pipeline):
    assert Subject.of(pipeline, (64, 48)).latent == (32, 24)


def test_an_image_without_guidance_is_one_row(checkpoint):
    sign(checkpoint, guidance=1.0)
    assert Subject.of(checkpoint).rows == 1
    assert Subject.of(checkpoint, rows=8).rows == 8


def test_sizes_that_cannot_be(pipeline):
    with pytest.raises(UsageError, match="multiples of 2 pixels"):
        Subject.of(pipeline, (33, 32))
    with pytest.raises(SpaceError, match="multiples of 2"):
        Subject.of(pipeline, (34, 32))


def test_folders_that_are_neither(pipeline, tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        Subject.of(tmp_path / "nothing")
    (pipeline / "unet" / "config.json").unlink()
    with pytest.raises(Refused, match="pipeline is not a Stable Diffusion pipeline"):
        Subject.of(pipeline)
