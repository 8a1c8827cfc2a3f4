"""A whole evaluation through the command line, and the errors of the command line."""

import json
import math
from dataclasses import replace

import pytest
from PIL import Image

from aptp.checkpoint.reader import Checkpoint
from aptp.data.scenes.scene import TIERS
from aptp.evaluate.__main__ import main
from aptp.evaluate.evaluation import Evaluation
from aptp.evaluate.models_under_test import Subjects
from aptp.evaluate.sampling import SamplingOptions
from runtime.errors import CheckpointError, IntegrityError, StorageError, UsageError
from tests.checkpoints import mini_checkpoint

SUBJECTS = ("dense", "mixed", "render")


@pytest.fixture(scope="module")
def report(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "deep"
    options = ["--per-tier", "3", "--routed", "40", "--steps", "1", "--codes", "dense,mixed"]
    assert main(["--checkpoint", str(folder), "--out", str(out), *options]) == 0
    return out


def test_everything_is_in_the_json(report):
    body = json.loads((report / "report.json").read_text())
    assert tuple(body["subjects"]) == SUBJECTS
    assert len(body["pictures"]) == 12
    for picture in body["pictures"]:
        assert tuple(picture["subjects"]) == SUBJECTS
        assert picture["code"] in (0, 1)
        assert set(picture["subjects"]["render"]["score"]) == set(picture["subjects"]["dense"]["score"])
    rates = body["subjects"]["render"]["rates"]
    every = rates["every tier"]["all"]
    hits = sum(picture["subjects"]["render"]["score"]["all"] for picture in body["pictures"])
    assert (every["hits"], every["count"]) == (hits, 12)
    assert every["interval"][0] < every["share"] <= every["interval"][1]
    assert body["subjects"]["render"]["fd_scenes"] < body["subjects"]["dense"]["fd_scenes"]


def test_routing_adds_up(report):
    routing = json.loads((report / "report.json").read_text())["routing"]
    counts = routing["counts"]
    assert sum(counts["all"]) == 40
    assert [sum(column) for column in zip(*(counts[tier] for tier in TIERS), strict=True)] == counts["all"]
    things = sum(sum(each) for name, each in counts.items() if "thing" in name)
    assert things == 40 - sum(counts["word"])
    assert list(counts) == ["all", *TIERS, "1 thing", "2 things", "3 things", "4 things"]
    mean, low, high = routing["mean_budget"]["all"]
    spent = sum(n * budget for n, budget in zip(counts["all"], routing["budgets"], strict=True))
    assert mean == pytest.approx(spent / 40)
    assert low <= mean <= high
    assert routing["budgets"] == pytest.approx([0.5, 0.8], abs=0.01)
    assert routing["target"] is None
    assert routing["changed_by_batch"] == 0
    assert 0 <= routing["information_bits"] <= 1


def test_the_table_has_a_column_per_subject(report):
    text = (report / "report.md").read_text()
    lines = text.splitlines()
    assert f"| tier | measure | n | {' | '.join(SUBJECTS)} |" in lines
    for start in (
        "| every tier | all | 12 |",
        "| pair | both | 3 |",
        "|  | FD-scenes | 12 |",
        "| colour swapped",
    ):
        assert sum(line.startswith(start) for line in lines) == 1, start
    assert "bits of its tier" in text
    assert "| measure, every tier | mixed − dense |" in lines
    assert "trained: False" in text


def test_there_are_pictures(report):
    for name in (*(f"samples-{name}" for name in SUBJECTS), "routes"):
        with Image.open(report / f"{name}.png") as image:
            assert min(image.size) > 300
            assert len(image.convert("RGB").getcolors(1 << 20)) > 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--per-tier", "1"], "--per-tier 1: give at least 2"),
        (["--routed", "0"], "--routed 0: give at least 2"),
        (["--steps", "0"], "--steps 0: give at least 1"),
        (["--batch", "0"], "--batch 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--guidance", "nan"], "--guidance nan"),
        (["--guidance", "-1"], "--guidance -1"),
        (["--codes", "dnse"], "did you mean 'dense'"),
    ],
)
def test_bad_options(folder, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        main(["--checkpoint", str(folder), "--out", str(tmp_path / "out"), *options])
    assert not (tmp_path / "out").exists()


def test_captions_of_another_kind_of_pipeline_have_to_be_named(tmp_path, tmp_path_factory):
    mini = mini_checkpoint(tmp_path_factory)
    with pytest.raises(UsageError, match="--data is missing: .* is not of the default's kind"):
        main(["--checkpoint", str(mini), "--out", str(tmp_path / "out")])


def test_a_checkpoint_of_another_size_is_refused(folder, judge):
    checkpoint = Checkpoint.open(folder)
    checkpoint.record = replace(checkpoint.record, size=(512, 512))
    subjects = Subjects(checkpoint, SamplingOptions())
    with pytest.raises(CheckpointError, match="draws 512x512 pixels; the judge reads scenes of 64x64"):
        Evaluation(subjects, judge, ["dense"], [], [])


def test_a_place_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be made"):
        main(["--checkpoint", str(folder), "--out", str(tmp_path / "file" / "out")])


def test_a_file_that_is_no_judge(folder, tmp_path):
    (tmp_path / "judge").write_bytes(b"no")
    with pytest.raises(IntegrityError, match="holds no judge"):
        main(
            ["--checkpoint", str(folder), "--out", str(tmp_path / "out"), "--judge", str(tmp_path / "judge")]
        )


def test_numbers_in_reports_are_json(report):
    def refuse(name):
        raise AssertionError(name)

    body = json.loads((report / "report.json").read_text(), parse_constant=refuse)
    assert math.isfinite(body["subjects"]["dense"]["fd_scenes"])
