"""A pipeline, forty captioned pictures, and a cache of them, small enough to be made in a blink."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline

from aptp.encode import making
from aptp.encode import task as encoding
from aptp.encode.making import Making
from aptp.encode.task import EncodeTask, Opened
from aptp.pipeline import build_pipeline, read_pipeline
from tests.aptp.data.datasets import NOT_A_PICTURE, folder, put
from tests.checkpoints import MINI

BATCH, SAMPLES = 4, 18  # of which the last batch is half

Make = Callable[[EncodeTask, Path], Making]


@pytest.fixture(scope="session")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("dense") / "mini"
    build_pipeline(MINI, 0, torch.float16).save_pretrained(made)
    return made


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pairs; two pictures are broken, and one of them is among the first of the order."""
    root = tmp_path_factory.mktemp("pictures")
    folder(root, 40)
    for number in (7, 11):
        put(root / "some" / f"{number:03d}.jpg", NOT_A_PICTURE)
    return root


@pytest.fixture(autouse=True)
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a pipeline takes longer than all that these tests do with it."""
    monkeypatch.setattr(encoding, "read_pipeline", _read)


@cache
def _read(folder: Path, dtype: torch.dtype) -> DiffusionPipeline:
    return read_pipeline(folder, dtype)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batches in a shard of latents, and a few captions in a shard of text."""
    monkeypatch.setattr(making, "SHARD", 2 * BATCH * 8 * 16 * 16 * 4)


@pytest.fixture
def task(dense: Path, pictures: Path) -> EncodeTask:
    return EncodeTask(dense, f"folder:{pictures}", SAMPLES, precision="no", batch=BATCH)


@pytest.fixture(scope="session")
def make() -> Make:
    def made(task: EncodeTask, folder: Path) -> Making:
        making = Making(Opened.open(task), folder, lambda what, done, total: None)
        making.run()
        return making

    return made
