"""Sources by name, and the errors for what is none."""

import pytest

from aptp.data.option import chosen
from aptp.data.scenes.source import Scenes
from aptp.data.sources import open_source
from runtime.errors import DataError, UsageError
from tests.aptp.data.datasets import folder


def test_scenes():
    assert open_source("scenes", seed=3)[5].caption == Scenes(seed=3)[5].caption
    assert open_source("scenes", split="test")[5].caption == Scenes("test")[5].caption
    assert open_source("scenes").about == {"name": "scenes"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("secnes", r"no data named 'secnes' \(did you mean 'scenes'.*pixelprose, webdataset, folder"),
        ("scenes:here", "scenes are rendered, from no folder"),
        ("coco", "'coco': say where it lies: coco:DIR"),
        ("folder:", "say where it lies"),
    ],
)
def test_names_that_are_none(data, message):
    with pytest.raises(UsageError, match=message):
        open_source(data)


def test_scenes_have_one_size():
    assert open_source("scenes", size=(64, 64))[0].image.shape == (64, 64, 3)
    with pytest.raises(
        UsageError, match=r"scenes are pictures of 64x64 .* and 768x512 are asked for.*--data folder:DIR"
    ):
        open_source("scenes", size=(512, 768))


def test_scenes_are_chosen_unasked_for_what_draws_them():
    assert chosen(None, "here", draws_scenes=True) == "scenes"
    assert chosen("coco:DIR", "here", draws_scenes=True) == "coco:DIR"
    with pytest.raises(UsageError, match="--data is missing: here is not of the default's kind"):
        chosen(None, "here", draws_scenes=False)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cc3m: there is no folder .*/nowhere"):
        open_source(f"cc3m:{tmp_path}/nowhere")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("folder:{}?width>5", r"folder takes no conditions, and '\?width>5' are some"),
        ("cc3m:{}?a==b", "cc3m takes no conditions"),
        ("coco:{}?year=2015", r"say \?year=2014 or \?year=2017"),
        ("coco:{}?2014", r"say \?year=2014"),
    ],
)
def test_conditions_where_they_do_not_belong(tmp_path, data, message):
    folder(tmp_path)
    with pytest.raises(UsageError, match=message):
        open_source(data.format(tmp_path))
