"""The graph of an expert to halve, and Polygraphy over a stand-in for TensorRT."""

import sys
from pathlib import Path

import pytest

from tests.checkpoints import build_mini
from tests.export.engines.tensorrt.stand_in import Builders

MODULE = Builders()


@pytest.fixture(scope="session")
def expert(tmp_path_factory) -> Path:
    """The folder of an expert's graphs; not to be changed."""
    return build_mini(tmp_path_factory) / "experts/0/unet"


@pytest.fixture
def tensorrt(monkeypatch) -> Builders:
    """A module `tensorrt` that keeps what it was asked to build."""
    pytest.importorskip("polygraphy", reason="polygraphy is not installed (it comes with `aptp[dev]`)")
    MODULE.reset()
    monkeypatch.setitem(sys.modules, "tensorrt", MODULE)
    return MODULE
