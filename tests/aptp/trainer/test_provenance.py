"""Provenance: what is told about a run is what happened."""

import json

import pytest

from aptp.trainer import metrics_log, provenance
from aptp.trainer.loop import RunOptions, Training
from runtime.errors import CheckpointError
from runtime.machine import facts
from tests.aptp.trainer.toys import RECIPE, Brightness, Noise


def test_an_account_adds_up_the_legs(tmp_path):
    for _ in range(RECIPE.steps):
        Training(Brightness(), Noise(), RECIPE, tmp_path, RunOptions(minutes=0, precision="no")).run("toy")
    told = provenance.account(tmp_path, RECIPE)
    assert told["recipe"]["steps"] == RECIPE.steps
    spent = [line["seconds"] for line in metrics_log.read(tmp_path)]
    assert len(spent) == RECIPE.steps
    assert told["seconds"] == round(sum(spent), 1)
    json.dumps(told)


def test_what_is_written_is_read(tmp_path):
    told = provenance.origin("aptp.pretrain")
    provenance.write(tmp_path, told)
    assert provenance.read(tmp_path) == told


def test_a_folder_that_tells_nothing_reads_as_empty(tmp_path):
    assert provenance.read(tmp_path) == {}


def test_outside_a_checkout_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "__file__", str(tmp_path / "runtime" / "machine" / "facts.py"))
    assert provenance.origin("aptp.train")["commit"] is None


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000])
def test_a_file_that_tells_nothing(tmp_path, text):
    (tmp_path / provenance.NAME).write_text(text)
    with pytest.raises(CheckpointError, match=r"training\.json .*; remove it to train without it"):
        provenance.read(tmp_path)
