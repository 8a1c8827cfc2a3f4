"""Resume states: what was written comes back, and what changed since, or is no state, is refused by name."""

import os

import pytest
import torch
from safetensors.torch import load_file

from aptp.trainer import state
from runtime.errors import IntegrityError, StorageError, UsageError

TENSORS = {
    "parameters": {
        "weight": torch.randn(3, 5, generator=torch.Generator().manual_seed(0)),
        "half": torch.arange(6, dtype=torch.bfloat16).view(2, 3).T,
    },
    "optimizer": {"0/step": torch.tensor(7.0), "empty": torch.zeros(0, 4)},
}


LAST = state.NAME.format(12)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_comes_back(tmp_path):
    state.save(tmp_path, 12, {"seed": 3}, TENSORS)
    found = state.load(tmp_path, {"seed": 3})
    assert (found.step, found.path) == (12, tmp_path / LAST)
    for group, named in TENSORS.items():
        assert found.groups[group].keys() == named.keys()
        assert all(torch.equal(found.groups[group][name], tensor) for name, tensor in named.items())


def test_an_identity_is_the_same_once_it_was_written(tmp_path):
    identity = {"cost": {"latent": (16, 16), 4: None}}
    state.save(tmp_path, 12, identity, TENSORS)
    assert state.load(tmp_path, identity) is not None


def test_any_safetensors_reader_can_open_it(tmp_path):
    state.save(tmp_path, 12, {}, TENSORS)
    assert torch.equal(load_file(tmp_path / LAST)["parameters/weight"], TENSORS["parameters"]["weight"])


def test_where_nothing_was_saved_there_is_nothing(tmp_path):
    assert state.load(tmp_path, {}) is None
    assert state.load(tmp_path / "nowhere", {}) is None


@pytest.mark.parametrize(("keep", "left"), [(1, [30]), (2, [20, 30]), (9, [5, 10, 20, 30])])
def test_the_newest_states_stay(tmp_path, keep, left):
    for step in (5, 10, 20, 30):
        state.save(tmp_path, step, {}, TENSORS, keep=keep)
    assert names(tmp_path) == [state.NAME.format(step) for step in left]
    assert state.load(tmp_path, {}).step == 30


def test_steps_beyond_eight_digits_are_in_order(tmp_path):
    for step in (99_999_999, 100_000_000):
        state.save(tmp_path, step, {}, TENSORS)
    assert state.load(tmp_path, {}).step == 100_000_000


def test_what_a_killed_process_left_of_any_state_is_removed(tmp_path):
    left = tmp_path / ".state.99999999-0.tmp"  # beyond any process's number
    left.write_bytes(b"half")
    state.save(tmp_path, 12, {}, TENSORS)
    assert names(tmp_path) == [LAST]


@pytest.mark.parametrize("place", [0, 8, 20, 40, 100, 130, -1])
def test_a_bit_that_changed_anywhere_is_noticed(tmp_path, place):
    state.save(tmp_path, 12, {"seed": 3}, TENSORS)
    data = bytearray((tmp_path / LAST).read_bytes())
    data[place] ^= 0x40
    (tmp_path / LAST).write_bytes(data)
    with pytest.raises(IntegrityError, match=rf"{LAST} is damaged .*; remove it to start over"):
        state.load(tmp_path, {"seed": 3})


def test_the_way_out_of_damage_is_the_state_before(tmp_path):
    state.save(tmp_path, 5, {}, TENSORS)
    state.save(tmp_path, 12, {}, TENSORS)
    (tmp_path / LAST).write_bytes((tmp_path / LAST).read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="remove it to go on from state-00000005.safetensors"):
        state.load(tmp_path, {})
    (tmp_path / LAST).unlink()
    assert state.load(tmp_path, {}).step == 5


@pytest.mark.parametrize("data", [b"", b"\0" * 200, b"x" * 7, b"\xff" * 8 + b"{}"])
def test_what_is_no_state_is_refused(tmp_path, data):
    (tmp_path / LAST).write_bytes(data)
    with pytest.raises(IntegrityError, match="is damaged .it does not begin as a resume state does"):
        state.load(tmp_path, {})


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / LAST)
    with pytest.raises(StorageError, match=f"{LAST}: it is not a regular file"):
        state.load(tmp_path, {})


def test_the_state_of_an_older_version_is_not_passed_over(tmp_path):
    (tmp_path / "state.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match=r"is the resume state of an aptp before 0\.7: end that run with"):
        state.load(tmp_path, {})


@pytest.mark.parametrize(
    "wanted",
    [
        {"weight": torch.zeros(3, 5)},
        {"weight": torch.zeros(1, 5), "half": torch.zeros(3, 2)},
        {"other": torch.zeros(1)},
    ],
)
def test_tensors_of_another_model_are_refused(tmp_path, wanted):
    state.save(tmp_path, 12, {}, TENSORS)
    with pytest.raises(UsageError, match=r"is of another model: \d of its parameters differ, the first is"):
        state.load(tmp_path, {}).check_fits("parameters", wanted)


def test_a_disk_that_fills_up_keeps_the_old_states(tmp_path, monkeypatch):
    state.save(tmp_path, 12, {}, TENSORS)
    before = (tmp_path / LAST).read_bytes()

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        state.save(tmp_path, 13, {}, TENSORS, keep=1)
    assert names(tmp_path) == [LAST]
    assert (tmp_path / LAST).read_bytes() == before
