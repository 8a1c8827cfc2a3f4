"""Captions of data that no judge reads: routed, drawn and shown, and said to be unjudged."""

import json

import pytest
from PIL import Image

from aptp.evaluate.__main__ import main
from aptp.evaluate.mixture import RoutedMixture
from aptp.evaluate.survey import UNJUDGED, Survey
from runtime.errors import StorageError, UsageError
from tests.aptp.data.datasets import coco, picture, put
from tests.aptp.score.made_up import write_clip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("coco")
    coco(root, 10, part="val2014")
    put(root / "train2014" / "0.jpg", picture(0))
    return f"coco:{root}"


def words(folder, out, data, *more):
    few = ["--per-tier", "3", "--routed", "16", "--steps", "1"]
    return ["--checkpoint", str(folder), "--out", str(out), "--data", data, *few, *more]


@pytest.fixture(scope="module")
def report(folder, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("survey") / "deep"
    clip = write_clip(tmp_path_factory.mktemp("clip") / "clip")
    assert (
        main(words(folder, out, data, "--codes", "dense,mixed", "--clip", str(clip), "--device", "cpu")) == 0
    )
    return out


def test_what_was_drawn_is_scored(report):
    body = json.loads((report / "scores/report.json").read_text())
    assert list(body["sets"]) == ["dense", "mixed"]
    assert list(body["sets"]["mixed"]) == ["clip"]
    assert body["about"]["start noise"] == "the same"
    drawn = json.loads((report / "report.json").read_text())["pictures"]
    found = [(each["caption"], each["sets"]["mixed"]["expert"]) for each in body["pictures"]]
    assert found == [(each["caption"], str(each["code"])) for each in drawn]


def test_only_what_a_model_drew_is_scored(folder, data, tmp_path):
    with pytest.raises(UsageError, match="scores are of pictures that a model drew"):
        main(words(folder, tmp_path / "out", data, "--codes", "render", "--clip", str(tmp_path)))
    with pytest.raises(UsageError, match="scenes are judged"):
        main(words(folder, tmp_path / "out", "scenes", "--clip", str(tmp_path)))


def test_the_json_has_routes_and_no_scores(report):
    body = json.loads((report / "report.json").read_text())
    assert body["judged"] is False
    assert sum(body["routing"]["counts"]["all"]) == 16
    assert list(body["routing"]["counts"]) == ["all"]
    assert body["routing"]["information_bits"] is None
    assert body["about"]["data"].startswith("coco, 20 pairs, ")
    assert len(body["pictures"]) == 3
    assert all(each["place"].startswith("val2014/") and each["code"] in (0, 1) for each in body["pictures"])
    assert not {"rates", "fd_scenes"} & set(str(body).split("'"))


def test_it_says_that_nothing_was_judged(report):
    text = (report / "report.md").read_text()
    assert UNJUDGED in text
    assert "## Routing" in text
    assert "bits of its tier" not in text


def test_there_are_pictures(report):
    for name in ("dense", "mixed", "render"):
        with Image.open(report / f"samples-{name}.png") as image:
            assert min(image.size) > 200


def test_a_judge_has_nothing_to_do_here(folder, data, tmp_path):
    with pytest.raises(UsageError, match="--judge reads scenes alone"):
        main(words(folder, tmp_path / "out", data, "--judge", str(tmp_path)))
    assert not (tmp_path / "out").exists()


def test_a_report_that_cannot_be_written(tmp_path):
    (tmp_path / "report.json").mkdir()
    survey = Survey({}, [], [], RoutedMixture([0], [0.5], {}, {}, 0), {})
    with pytest.raises(StorageError, match="the report cannot be written"):
        survey.save(tmp_path)
