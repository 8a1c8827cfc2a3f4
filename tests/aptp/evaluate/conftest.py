"""One small checkpoint of scenes for all of these tests, and the judge of the package."""

from pathlib import Path

import pytest

from aptp.checkpoint.reader import Checkpoint
from aptp.evaluate.judge.reader import Judge
from aptp.new.create import create


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluate") / "tiny"
    create(out, preset="tiny", budgets=(0.5, 0.8))
    return out


@pytest.fixture(scope="session")
def checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint.open(folder)


@pytest.fixture(scope="session")
def judge() -> Judge:
    return Judge.load()
