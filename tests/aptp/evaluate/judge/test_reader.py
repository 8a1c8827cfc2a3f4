"""The judge that comes with the package: right on renders, the same in any company, unmoved by garbage."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from aptp.data.scenes.vocabulary import SHAPES, SIDE
from aptp.evaluate.judge.accuracy import accuracy, examinations
from aptp.evaluate.judge.network import COARSE
from aptp.evaluate.judge.reader import WEIGHTS, Judge
from runtime.errors import IntegrityError, StorageError, UsageError


@pytest.fixture(scope="module")
def renders():
    scenes = examinations(10, seed=2)["scenes"]
    return np.stack([scenes[i].image for i in range(30)])


@pytest.mark.parametrize("name", ["scenes", "words", "strings", "jumbles"])
def test_it_reads_renders(judge, name):
    found = accuracy(judge, examinations(200, seed=2)[name], 200)
    for question, rate in found.items():
        assert rate.share >= (0.98 if question == "word" else 0.99), (question, rate)


def test_it_is_small():
    assert WEIGHTS.stat().st_size < 3e6


def test_company_changes_nothing(judge, renders):
    together = judge.read(renders)
    alone = [judge.read(renders[i : i + 1])[0] for i in range(len(renders))]
    for one, other in zip(together, alone, strict=True):
        assert (one.background, one.lettering) == (other.background, other.lettering)
        assert [each.shape for each in one.detections] == [each.shape for each in other.detections]
    assert np.allclose(judge.features(renders)[3:5], judge.features(renders[3:5]), atol=1e-5)


def test_slight_faults_do_not_mislead_it(judge, renders):
    rng = np.random.default_rng(0)
    noisy = np.clip(renders + rng.normal(4, 4, renders.shape), 0, 255).astype(np.uint8)
    for one, other in zip(judge.read(renders), judge.read(noisy), strict=True):
        assert [each.shape for each in one.detections] == [each.shape for each in other.detections]
        assert [each.colour for each in one.detections] == [each.colour for each in other.detections]


def test_garbage_is_read_too(judge):
    rng = np.random.default_rng(0)
    garbage = rng.integers(0, 256, (20, SIDE, SIDE, 3), np.uint8)
    garbage[0], garbage[1], garbage[2, ::2] = 0, 255, 0
    for reading in judge.read(garbage):
        assert {each.shape for each in reading.detections} <= set(SHAPES)


def test_no_pictures(judge):
    none = np.empty((0, SIDE, SIDE, 3), np.uint8)
    assert judge.read(none) == []
    assert judge.features(none).shape == (0, COARSE)


@pytest.mark.parametrize(
    "pictures",
    [np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, SIDE, SIDE, 3)), np.zeros((SIDE, SIDE, 3), np.uint8)],
    ids=["size", "dtype", "no batch"],
)
def test_what_are_no_pictures_of_scenes(judge, pictures):
    with pytest.raises(UsageError, match=r"the judge reads uint8 pictures of \[64, 64, 3\]"):
        judge.read(pictures)


def test_saved_and_loaded_it_reads_the_same(judge, renders, tmp_path):
    judge.save(tmp_path / "judge.safetensors")
    again = Judge.load(tmp_path / "judge.safetensors")
    assert np.array_equal(judge.features(renders), again.features(renders))
    assert (tmp_path / "judge.safetensors").stat().st_size == WEIGHTS.stat().st_size


@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "other"])
def test_a_file_that_holds_no_judge(tmp_path, damage):
    path = tmp_path / "judge.safetensors"
    if damage == "empty":
        path.touch()
    elif damage == "cut":
        path.write_bytes(WEIGHTS.read_bytes()[:-100])
    elif damage == "other":
        save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(IntegrityError, match="holds no judge"):
        Judge.load(path)


def test_a_place_that_cannot_be_written(judge, tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        judge.save(tmp_path / "nowhere" / "judge.safetensors")
