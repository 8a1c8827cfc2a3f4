"""A small pipeline, a published folder of experts cut from it, and the encoder its predictor reads."""

import shutil
from pathlib import Path

import pytest
import torch

from aptp.convert.conversion import ConversionSource
from aptp.model.prompt_encoder import read_prompt_encoder
from aptp.pipeline import build_pipeline, read_pipeline
from tests.checkpoints import MINI
from tests.encoders import averages, write_encoder
from tests.published import write_published


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> ConversionSource:
    """Not to be changed."""
    root = tmp_path_factory.mktemp("convert")
    build_pipeline(MINI, 0, torch.float16).save_pretrained(root / "pipeline")
    unet = read_pipeline(root / "pipeline", torch.float32).unet
    mpnet = write_encoder(root / "mpnet")
    suited = averages(read_prompt_encoder(mpnet), ["a red circle", "two dogs", "the word hello"])
    return ConversionSource(write_published(root / "published", unet, suited), root / "pipeline", mpnet)


@pytest.fixture
def copy(source: ConversionSource, tmp_path: Path) -> Path:
    """A copy of the published folder to change."""
    return Path(shutil.copytree(source.root, tmp_path / "published"))
