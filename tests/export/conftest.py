"""The small checkpoint, made once."""

import shutil
from pathlib import Path

import pytest

from tests.checkpoints import mini_checkpoint


@pytest.fixture(scope="session")
def mini(tmp_path_factory) -> Path:
    """A checkpoint with two codes; not to be changed."""
    return mini_checkpoint(tmp_path_factory)


@pytest.fixture
def checkpoint(mini, tmp_path) -> Path:
    """A copy of `mini` to change."""
    return Path(shutil.copytree(mini, tmp_path / "checkpoint"))
