"""The checkpoint that ships: whole, trained, small enough, and it says where it comes from."""

import pytest

from aptp import default
from aptp.checkpoint.reader import Checkpoint
from aptp.default import default_checkpoint
from runtime.errors import CheckpointError

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def shipped() -> Checkpoint:
    return Checkpoint.open(default_checkpoint())


def test_it_is_whole_and_trained(shipped):
    shipped.verify()
    assert shipped.record.trained
    assert len(shipped.record.codes) == 4


def test_all_of_it_is_60_megabytes_at_most(shipped):
    assert sum(path.stat().st_size for path in shipped.path.rglob("*") if path.is_file()) <= 60 * MEGABYTE


def test_its_codes_cost_what_the_index_says(shipped):
    cost = shipped.cost()
    for code, architecture in zip(shipped.record.codes, shipped.architectures, strict=True):
        assert cost.of(architecture) / cost.dense == pytest.approx(code.budget, abs=1e-6)


def test_seeds_commits_and_wall_times_are_told_of_every_stage(shipped):
    tuned = shipped.record.provenance
    routed = tuned["from"]
    dense = routed["from"]
    made_by = [stage["made_by"] for stage in (tuned, routed, dense)]
    assert made_by == ["aptp.finetune", "aptp.train", "aptp.pretrain"]
    for run in (tuned, routed, *dense["runs"].values()):
        assert run["seconds"] > 0
        assert run["recipe"]["seed"] == 0
    assert all(len(stage["commit"]) >= 40 for stage in (tuned, routed, dense))


def test_an_installation_without_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(default, "FOLDER", tmp_path)
    with pytest.raises(CheckpointError, match="give a --checkpoint"):
        default_checkpoint()
