"""A small pipeline's folder, float32, made once; and copies of it to damage."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from aptp.pipeline import build_pipeline
from tests.checkpoints import MINI

State = dict[str, torch.Tensor]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline") / "whole"
    build_pipeline(MINI, 0, torch.float32).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "pipe"))


def weights_of(component: Path) -> Path:
    (path,) = component.glob("*.safetensors")
    return path


def change_tensors(component: Path, change: Callable[[State], State]) -> None:
    """Writes a component's weights again, changed."""
    path = weights_of(component)
    state = change(load_file(path))
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata={"format": "pt"})


def change_config(path: Path, **fields: Any) -> None:
    """Writes a JSON file again with other fields; None takes a field out."""
    config = {**json.loads(path.read_text()), **fields}
    gone = [name for name, value in fields.items() if value is None]
    path.write_text(json.dumps({name: value for name, value in config.items() if name not in gone}))
