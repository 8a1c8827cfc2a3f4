"""Made-up encoders for all of these tests: files, and a small network in place of Inception."""

from pathlib import Path

import numpy as np
import pytest
import torch

from aptp.score.encoders import Clip
from tests.aptp.score.made_up import write_clip


class Grey:
    """An encoder of 5 features, that counts the pictures it was given, and may die of one of them."""

    weights, preprocessing, width, published = "grey", "mean", 5, False

    def __init__(self, until: int | None = None) -> None:
        self.seen, self.until = 0, until

    def prepare(self, image):
        return np.asarray(image.resize((5, 1)).convert("L"), np.float32)[0]

    def encode(self, prepared):
        self.seen += len(prepared)
        if self.until is not None and self.seen > self.until:
            raise KeyboardInterrupt
        return np.stack(prepared) / 255


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip")


@pytest.fixture(scope="session")
def clip(clip_folder: Path) -> Clip:
    return Clip.read(clip_folder, torch.device("cpu"))
