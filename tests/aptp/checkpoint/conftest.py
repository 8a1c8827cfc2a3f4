"""One small checkpoint for the whole run, and copies of it to damage."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aptp.new.create import create


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("checkpoint") / "tiny"
    create(out, preset="tiny", budgets=(0.5, 0.8))
    return out


@pytest.fixture
def damaged(checkpoint: Path, tmp_path: Path) -> Callable[[], Path]:
    def copy() -> Path:
        return Path(shutil.copytree(checkpoint, tmp_path / "copy"))

    return copy
