"""Experts tuned apart become one checkpoint, or are refused by name."""

import shutil
import sys
from dataclasses import replace

import pytest

from aptp.checkpoint.reader import Checkpoint
from aptp.merge import __main__ as command
from aptp.merge.merge import merge
from runtime.errors import CheckpointError, IntegrityError, UsageError
from tests.checkpoints import WEIGHTS, change_weight, mini_checkpoint, sign


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return Checkpoint.open(mini_checkpoint(tmp_path_factory))


def tuned(source, folder, codes, value=1.0, **told):
    """A checkpoint as `aptp.finetune` would leave it, with a weight changed in each tuned expert."""
    shutil.copytree(source.path, folder)
    for code in codes:
        change_weight(folder, f"experts/{code}", value)
    origin = {"name": "stage 1", "digest": source.digest()}
    sign(
        folder,
        trained=True,
        provenance={"made_by": "aptp.finetune", "codes": list(codes), "from": origin, **told},
    )
    return Checkpoint.open(folder)


@pytest.fixture
def apart(source, tmp_path):
    return [tuned(source, tmp_path / f"run{code}", (code,), 1.0 + code, seconds=code) for code in (0, 1)]


def test_each_expert_is_the_one_of_its_run_byte_for_byte(source, apart, tmp_path):
    assert merge(apart, tmp_path / "out") == []
    made = Checkpoint.open(tmp_path / "out")
    made.verify()
    assert [made.digest(f"experts/{code}") for code in (0, 1)] == [
        apart[code].digest(f"experts/{code}") for code in (0, 1)
    ]
    for component in ("unet", "vae", "text_encoder", "tokenizer", "router.safetensors"):
        assert made.digest(component) == source.digest(component)
    assert made.record.trained
    assert replace(made.record, files={}, provenance={}) == replace(apart[0].record, files={}, provenance={})


def test_the_provenance_of_each_run_is_kept(source, apart, tmp_path):
    merge(apart, tmp_path / "out")
    told = Checkpoint.open(tmp_path / "out").record.provenance
    assert told["made_by"] == "aptp.merge"
    assert told["from"]["digest"] == source.digest()
    assert told["codes"] == [0, 1]
    assert [(run["made_by"], run["codes"], run["seconds"]) for run in told["runs"]] == [
        ("aptp.finetune", [0], 0),
        ("aptp.finetune", [1], 1),
    ]


def test_the_order_makes_no_other_weights(apart, tmp_path):
    merge(apart, tmp_path / "one")
    merge(apart[::-1], tmp_path / "other")
    one, other = (Checkpoint.open(tmp_path / name).record for name in ("one", "other"))
    assert one.files == other.files


def test_a_merged_checkpoint_can_be_merged_again(source, tmp_path):
    none = tuned(source, tmp_path / "none", ())
    assert merge([tuned(source, tmp_path / "a", (0,)), none], tmp_path / "half") == [1]
    assert (
        merge([Checkpoint.open(tmp_path / "half"), tuned(source, tmp_path / "b", (1,))], tmp_path / "out")
        == []
    )


def test_one_checkpoint_is_refused(apart, tmp_path):
    with pytest.raises(UsageError, match="nothing to merge: name two checkpoints or more"):
        merge(apart[:1], tmp_path / "out")


def test_another_stage_1_is_refused_by_name(source, apart, tmp_path):
    foreign = tuned(source, tmp_path / "foreign", (1,), **{"from": {"digest": "0" * 64}})
    with pytest.raises(UsageError, match="foreign was tuned from checkpoint 000000000000, and .*run0 from"):
        merge([apart[0], foreign], tmp_path / "out")


def test_a_code_tuned_twice_is_refused_by_name(source, apart, tmp_path):
    again = tuned(source, tmp_path / "again", (0, 1))
    with pytest.raises(UsageError, match=r"code 0 is tuned in .*run0 and in .*again; name one of them"):
        merge([apart[0], again], tmp_path / "out")


def test_an_untuned_checkpoint_is_refused_by_name(source, apart, tmp_path):
    with pytest.raises(UsageError, match="does not say which of its codes were tuned"):
        merge([apart[0], source], tmp_path / "out")


def test_checkpoints_that_differ_elsewhere_are_refused_by_name(source, apart, tmp_path):
    changed = tuned(source, tmp_path / "changed", (1,))
    change_weight(changed.path, "unet", 3.0)
    with pytest.raises(CheckpointError, match=rf"differ in more than their tuned experts: unet/{WEIGHTS}"):
        merge([apart[0], Checkpoint.open(changed.path)], tmp_path / "out")


def test_a_damaged_expert_is_refused(apart, tmp_path):
    path = apart[1].path / "experts/1" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError):
        merge(apart, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_names_codes_that_nobody_tuned(source, tmp_path, monkeypatch, capsys):
    folders = [str(tuned(source, tmp_path / name, codes).path) for name, codes in (("a", (1,)), ("b", ()))]
    monkeypatch.setattr(sys, "argv", ["merge", *folders, "--out", str(tmp_path / "out")])
    assert command.main() == 0
    said = " ".join("".join(capsys.readouterr()).split())
    assert "as the checkpoint they began with has them: codes 0" in said
    assert "is ready; next: python -m export.build" in said
