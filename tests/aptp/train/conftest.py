"""A pipeline small enough to train in a blink."""

from pathlib import Path

import pytest
import torch

from aptp.pipeline import build_pipeline
from tests.checkpoints import MINI


@pytest.fixture(scope="session")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder with float16 weights."""
    folder = tmp_path_factory.mktemp("dense") / "mini"
    build_pipeline(MINI, 0, torch.float16).save_pretrained(folder)
    return folder
