"""The resume state: what was written comes back, and a full disk costs nothing but the new state."""

import os

import pytest
import torch
from safetensors.torch import load_file

from aptp.trainer import state
from runtime.errors import StorageError

TENSORS = {
    "parameters": {
        "weight": torch.randn(3, 5, generator=torch.Generator().manual_seed(0)),
        "half": torch.arange(6, dtype=torch.bfloat16).view(2, 3).T,
    },
    "optimizer": {"0/step": torch.tensor(7.0), "empty": torch.zeros(0, 4)},
}


def test_what_was_written_comes_back(tmp_path):
    state.save(tmp_path, 12, {"seed": 3}, TENSORS)
    step, groups = state.load(tmp_path, {"seed": 3})
    assert step == 12
    for group, named in TENSORS.items():
        assert groups[group].keys() == named.keys()
        assert all(torch.equal(groups[group][name], tensor) for name, tensor in named.items())


def test_an_identity_is_the_same_once_it_was_written(tmp_path):
    identity = {"cost": {"latent": (16, 16), 4: None}}
    state.save(tmp_path, 12, identity, TENSORS)
    assert state.load(tmp_path, identity) is not None


def test_any_safetensors_reader_can_open_it(tmp_path):
    state.save(tmp_path, 12, {}, TENSORS)
    assert torch.equal(load_file(tmp_path / state.NAME)["parameters/weight"], TENSORS["parameters"]["weight"])


def test_where_nothing_was_saved_there_is_nothing(tmp_path):
    assert state.load(tmp_path, {}) is None


def test_a_disk_that_fills_up_keeps_the_old_state(tmp_path, monkeypatch):
    state.save(tmp_path, 1, {}, TENSORS)
    before = (tmp_path / state.NAME).read_bytes()

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        state.save(tmp_path, 2, {}, TENSORS)
    assert [path.name for path in tmp_path.iterdir()] == [state.NAME]
    assert (tmp_path / state.NAME).read_bytes() == before
