"""COCO: its own splits, every caption a pair, and what is not as published named."""

import pytest

from aptp.data.sources import open_source
from runtime.errors import DataError, UsageError
from tests.aptp.data.datasets import coco, number_of, put, write_coco


def everything(source):
    """(caption, number of its picture) of one pass."""
    samples = [source[i] for i in range(source.about["pairs"])]
    return sorted((sample.caption, number_of(sample.image[4, 4])) for sample in samples)


def opened(root, options="", **chosen):
    return open_source(f"coco:{root}{options}", size=(8, 8), **chosen)


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_every_caption_is_a_pair_with_its_picture(tmp_path, year):
    coco(tmp_path, part=f"train{year}")
    assert everything(opened(tmp_path)) == sorted(
        (f"Caption {j} of picture {i}.", i) for i in range(6) for j in range(2)
    )


def test_its_val_is_the_test_split(tmp_path):
    coco(tmp_path, 6)
    coco(tmp_path, 3, part="val2014")
    assert opened(tmp_path).about["pairs"] == 12
    assert opened(tmp_path, split="test").about["pairs"] == 6
    assert {sample.metadata["place"].split("/")[0] for sample in [opened(tmp_path, split="test")[0]]} == {
        "val2014"
    }


def test_pictures_may_lie_in_a_folder_of_their_own(tmp_path):
    coco(tmp_path, 3)
    (tmp_path / "images").mkdir()
    (tmp_path / "train2014").rename(tmp_path / "images" / "train2014")
    assert len(everything(opened(tmp_path))) == 6


def test_of_two_years_one_is_chosen(tmp_path):
    coco(tmp_path, 2)
    coco(tmp_path, 3, part="train2017")
    with pytest.raises(UsageError, match=r"has the captions of 2014 and 2017; choose: coco:.*\?year=2017"):
        opened(tmp_path)
    assert opened(tmp_path, "?year=2014").about["pairs"] == 4
    assert opened(tmp_path, "?year=2017").about["pairs"] == 6


def test_what_has_no_picture_or_no_caption_is_left_out(tmp_path):
    body = coco(tmp_path, 6)
    (tmp_path / "train2014" / body["images"][2]["file_name"]).unlink()
    body["annotations"][0]["caption"] = " \n"
    body["annotations"][1]["image_id"] = 999
    write_coco(tmp_path, body)
    about = opened(tmp_path).about
    assert about["pairs"] == 8
    assert about["left_out"] == {"without a caption": 1, "without a picture": 3}


def without(part, name):
    def change(body):
        for entry in body[part]:
            del entry[name]
        return body

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("images", "file_name"), "captions_train2014.json: an entry has no 'file_name'"),
        (without("images", "id"), "an entry has no 'id'"),
        (without("annotations", "image_id"), "an entry has no 'image_id'"),
        (without("annotations", "caption"), "an entry has no 'caption'"),
        (lambda body: {"images": body["images"]}, "has no list 'annotations'"),
        (lambda body: [body], "has no list 'images'"),
        (
            lambda body: body | {"images": [{"id": [1], "file_name": "a"}]},
            r"an entry's 'id' is \[1\], and should",
        ),
        (
            lambda body: body | {"annotations": [{"image_id": {}}]},
            r"an entry's 'image_id' is \{\}, and should be",
        ),
        (lambda body: body | {"annotations": [3]}, "an entry has no 'image_id'"),
    ],
)
def test_a_missing_field_is_named(tmp_path, change, message):
    write_coco(tmp_path, change(coco(tmp_path)))
    with pytest.raises(DataError, match=message):
        opened(tmp_path)


def test_a_file_cut_short(tmp_path):
    coco(tmp_path)
    path = tmp_path / "annotations" / "captions_train2014.json"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="is not JSON .*; fetch it again"):
        opened(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_changes_nothing(tmp_path, encoding):
    coco(tmp_path)
    path = tmp_path / "annotations" / "captions_train2014.json"
    path.write_text(path.read_text("utf-8"), encoding)
    assert len(everything(opened(tmp_path))) == 12


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[" * 100_000, "captions_train2014.json is not JSON .*; fetch it again"),
        ('{"images":\n"\u00e9"}'.encode("latin-1"), "captions_train2014.json, line 2 is not UTF-8"),
    ],
)
def test_captions_that_are_none(tmp_path, data, message):
    coco(tmp_path)
    (tmp_path / "annotations" / "captions_train2014.json").write_bytes(data)
    with pytest.raises(DataError, match=message):
        opened(tmp_path)


def test_a_folder_of_something_else(tmp_path):
    put(tmp_path / "a.jpg", b"")
    with pytest.raises(
        DataError, match="is no COCO folder: it has neither annotations/captions_val2014.json"
    ):
        opened(tmp_path, split="test")


def test_a_folder_without_pictures(tmp_path):
    write_coco(tmp_path, {"images": [], "annotations": []})
    with pytest.raises(DataError, match="images/train2014 cannot be listed: No such file"):
        opened(tmp_path)
