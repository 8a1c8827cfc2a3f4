"""Scores of whole folders through the command line, and what the command line refuses."""

import json

import numpy as np
import pytest

from aptp.score.__main__ import main
from aptp.score.distances import frechet
from aptp.score.encoders import InceptionEncoder
from aptp.score.features import FeatureStore, key_of
from aptp.score.inception import WIDTH
from aptp.score.pictures import PictureSet
from runtime.errors import DataError, StorageError, UsageError
from runtime.files.source import digest_source
from tests.aptp.score.made_up import captions, pictures, write_clip, write_inception, write_pictures

COUNT = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two drawn sets, a reference, encoders, and a store that holds Inception's features of all of them."""
    root = tmp_path_factory.mktemp("scored")
    write_pictures(root / "dense", pictures(COUNT), captions(COUNT))
    write_pictures(root / "mixed", pictures(COUNT, seed=1), captions(COUNT), experts=("0", "1", "2"))
    write_pictures(root / "ref", pictures(30, seed=2))
    write_clip(root / "cmmd", side=48, seed=1)
    write_clip(root / "clip")
    weights = digest_source(write_inception(root / "pt.pth")).sha256
    store, rng = FeatureStore(root / "store"), np.random.default_rng(0)
    known = {}
    for name in ("dense", "mixed", "ref"):
        digests = [each.digest() for each in PictureSet.open(name, root / name).pictures]
        known[name] = rng.standard_normal((len(digests), WIDTH)).astype(np.float32)
        store.add(key_of(weights, InceptionEncoder.preprocessing), digests, known[name])
    return root, known


def words(root, out, *more, against="ref"):
    sets = ["--pictures", str(root / "mixed"), "--pictures", str(root / "dense")]
    encoders = ["--inception", str(root / "pt.pth"), "--clip", str(root / "clip")]
    encoders += ["--cmmd-clip", str(root / "cmmd")]
    where = ["--against", str(root / against), "--out", str(out), "--cache", str(root / "store")]
    return [*sets, *encoders, *where, "--batch", "8", "--device", "cpu", *more]


@pytest.fixture(scope="module")
def report(made, tmp_path_factory):
    root, out = made[0], tmp_path_factory.mktemp("report") / "deep"
    assert main(words(root, out, "--keep", str(root / "kept.safetensors"))) == 0
    return out, json.loads((out / "report.json").read_text())


def test_names_are_those_of_the_weights(report):
    """These weights are made up, so no value of theirs is called FID, KID or CMMD."""
    names = [each["name"] for each in report[1]["metrics"].values()]
    assert names == [
        *("Fréchet distance (other weights)", "cubic MMD² (other weights)"),
        *("Gaussian MMD² (another CLIP)", "CLIP score"),
    ]
    rows = [line for line in (report[0] / "report.md").read_text().splitlines() if line.startswith("|")]
    assert not [row for row in rows if "FID" in row or "KID" in row or "CMMD" in row]


def test_the_distance_is_that_of_the_features(report, made):
    for name in ("dense", "mixed"):
        wanted = frechet(made[1][name], made[1]["ref"])
        assert report[1]["sets"][name]["fid"]["value"] == pytest.approx(wanted, rel=1e-9)


def test_every_score_has_its_count_and_interval(report):
    for scores in report[1]["sets"].values():
        assert list(scores) == ["fid", "kid", "cmmd", "clip"]
        for score in scores.values():
            low, high = score["interval"]
            assert low < score["value"] < high
            assert score["n"] == COUNT
        assert scores["fid"]["half"] > scores["fid"]["value"]
        assert scores["fid"]["bias"] > 0


def test_differences_are_paired(report):
    body = report[1]
    assert body["baseline"] == "dense"
    assert body["about"]["start noise"] == "the same"
    for metric, found in body["differences"]["mixed"].items():
        one, other = (body["sets"][name][metric]["value"] for name in ("mixed", "dense"))
        assert found["value"] == pytest.approx(one - other)
    apart = [each["sets"]["mixed"]["clip"] - each["sets"]["dense"]["clip"] for each in body["pictures"]]
    assert body["differences"]["mixed"]["clip"]["value"] == pytest.approx(np.mean(apart))


def test_experts_are_those_of_the_mixed_set(report):
    body = report[1]
    assert [(each["expert"], each["n"]) for each in body["experts"]] == [("0", 8), ("1", 8), ("2", 8)]
    for i, each in enumerate(body["experts"]):
        own = [picture["sets"]["dense"]["clip"] for picture in body["pictures"][i::3]]
        assert each["sets"]["dense"]["clip"]["value"] == pytest.approx(np.mean(own))


def test_the_page_shows_pairs(report):
    html = (report[0] / "pictures.html").read_text()
    assert html.count("<img ") == 2 * COUNT
    assert "<script" not in html
    assert captions(COUNT)[3] in html


def test_a_kept_reference_gives_the_same(report, made, tmp_path):
    root = made[0]
    assert main(words(root, tmp_path / "out", against="kept.safetensors")) == 0
    body = json.loads((tmp_path / "out/report.json").read_text())
    assert body["sets"] == report[1]["sets"]


def test_statistics_of_other_features(report, made, tmp_path):
    root = made[0]
    other = write_clip(tmp_path / "other", side=48, seed=9)
    line = words(root, tmp_path / "out", "--metrics", "cmmd", against="kept.safetensors")
    line[line.index("--cmmd-clip") + 1] = str(other)
    with pytest.raises(UsageError, match="holds features of cmmd-clip by other weights or preprocessing"):
        main(line)
    (tmp_path / "no.safetensors").write_bytes(b"no")
    line[line.index("--against") + 1] = str(tmp_path / "no.safetensors")
    with pytest.raises(DataError, match="cannot be read as a file of --keep"):
        main(line)


def test_too_few_pictures(made, tmp_path):
    root = made[0]
    line = words(root, tmp_path / "out", "--metrics", "cmmd,clip")
    write_pictures(tmp_path / "one", pictures(1), captions(1))
    line = ["--pictures", str(tmp_path / "one"), *line[4:]]
    line[line.index("--metrics") + 1] = "fid"
    store, weights = FeatureStore(root / "store"), digest_source(root / "pt.pth").sha256
    digest = PictureSet.open("one", tmp_path / "one").pictures[0].digest()
    store.add(key_of(weights, InceptionEncoder.preprocessing), [digest], np.zeros((1, WIDTH), np.float32))
    with pytest.raises(UsageError, match="a distance between 1 and 30 pictures: give two or more of each"):
        main(line)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--metrics", "fdi"], "no 'fdi' .did you mean 'fid'"),
        (["--baseline", "dens"], "no set 'dens' .did you mean 'dense'"),
        (["--batch", "0"], "--batch 0"),
        (["--resize", "0"], "--resize 0"),
        (["--device", "cuda:99"], "--device cuda:99: cannot be used here"),
        (["--pictures", "dense=x"], "there is no folder x"),
    ],
)
def test_bad_options(made, tmp_path, more, message):
    with pytest.raises((UsageError, DataError), match=message):
        main(words(made[0], tmp_path / "out", *more))
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_named(made, tmp_path):
    root, out = made[0], str(tmp_path / "out")
    some = ["--pictures", str(root / "dense"), "--out", out]
    for more, message in (
        ([], "nothing can be scored: give --clip"),
        (["--metrics", "cmmd"], "--metrics cmmd needs --cmmd-clip"),
        (["--metrics", "fid", "--inception", "x"], "--metrics fid needs --against"),
        (["--clip", "x", "--keep", "y"], "--keep keeps the features of --against"),
        (["--clip", "x", "--against", "z", "--keep", "y"], "--keep keeps the features of fid, kid or cmmd"),
    ):
        with pytest.raises(UsageError, match=message):
            main([*some, *more])
    with pytest.raises(UsageError, match="two sets are named dense"):
        main([*some, "--pictures", str(root / "dense"), "--clip", str(root / "clip")])
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be made"):
        main(
            [
                "--pictures",
                str(root / "dense"),
                "--clip",
                str(root / "clip"),
                "--out",
                str(tmp_path / "file/x"),
            ]
        )
