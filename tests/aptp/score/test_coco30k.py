"""The paper's list of COCO's captions: whose, in which order, and what it refuses."""

import json

import numpy as np
import pytest

from aptp.score.captions import read_captions
from aptp.score.coco30k import chosen, main
from aptp.score.pictures import PictureSet
from runtime.cli.prompts import read_prompts
from runtime.errors import DataError, UsageError
from tests.aptp.data.datasets import coco


@pytest.fixture
def root(tmp_path):
    coco(tmp_path / "coco", 8, part="val2014")
    return tmp_path


def listed(root, *more):
    return main(["--coco", str(root / "coco"), "--out", str(root / "out"), *more])


def test_it_is_the_published_draw():
    """The published script's: `np.random.seed(42)`, then `np.random.choice` of the first captions."""
    np.random.seed(42)
    wanted = np.random.choice(40_504, 5, replace=False).tolist()
    pairs = [(str(i), f"caption {i}") for i in range(40_504)]
    assert [int(name) for name, _ in chosen(pairs, 5, 42)] == wanted == FROZEN


FROZEN = [17315, 2331, 31451, 30416, 38675]


def test_one_caption_of_each_picture(root):
    assert listed(root, "--count", "5") == 0
    body = json.loads((root / "coco/annotations/captions_val2014.json").read_text())
    firsts = {}
    for each in body["annotations"]:
        firsts.setdefault(each["image_id"], each["caption"].strip())
    names = {each["file_name"]: firsts[each["id"]] for each in body["images"]}
    found = read_captions(root / "out/captions.tsv")
    assert len(found) == 5
    assert found.items() <= names.items()
    assert read_prompts(root / "out/prompts.txt") == list(found.values())
    assert {each.path.name for each in PictureSet.open("ref", root / "out/pictures").pictures} == set(found)


def test_too_many(root):
    with pytest.raises(UsageError, match="--count 9: give 1 to 8"):
        listed(root, "--count", "9")


def test_a_picture_that_is_missing(root):
    next((root / "coco/val2014").glob("*")).unlink()
    with pytest.raises(DataError, match=r"is missing; the list needs all pictures of val2014"):
        listed(root, "--count", "8")
    assert not (root / "out").exists()


def test_folders_that_are_not_coco(root, tmp_path):
    path = root / "coco/annotations/captions_val2014.json"
    path.write_text("{}")
    with pytest.raises(DataError, match="is no file of COCO's captions"):
        listed(root)
    path.unlink()
    with pytest.raises(DataError, match="give the folder of COCO 2014"):
        listed(root)
