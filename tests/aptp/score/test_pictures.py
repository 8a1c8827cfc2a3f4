"""Folders of pictures and their captions, and every way in which they do not belong together."""

import pytest
from PIL import Image

from aptp.score.captions import read_captions
from aptp.score.pictures import PictureSet
from aptp.score.scoring import check
from runtime.errors import DataError, UsageError
from tests.aptp.score.made_up import captions, pictures, write_pictures


def opened(folder, count=3, name="drawn", **options):
    size = options.pop("size", (40, 40))
    return PictureSet.open(name, write_pictures(folder, pictures(count, size), **options))


def test_a_png_tells_its_caption_expert_and_seed(tmp_path):
    found = opened(tmp_path / "drawn", captions=captions(3), experts=("0", "1"), seed=5)
    assert found.captions == captions(3)
    assert [each.expert for each in found.pictures] == ["0", "1", "0"]
    assert [each.seed for each in found.pictures] == [5, 6, 7]


def test_numbers_are_in_order_and_the_grid_is_no_picture(tmp_path):
    folder = write_pictures(tmp_path, pictures(2))
    for name in ("1000-x.png", "grid.png", "99-x.png"):
        Image.new("RGB", (40, 40)).save(folder / name)
    names = [each.path.name for each in PictureSet.open("drawn", folder).pictures]
    assert names == ["000-a-picture-seed0.png", "001-a-picture-seed1.png", "99-x.png", "1000-x.png"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.txt", "one\ntwo\nthree\n"),
        ("c.csv", 'caption\none\ntwo\n"three"\n'),
        ("c.tsv", "file_name\tcaption\n{2}\tthree\n{0}\tone\n{1}\ttwo\n"),
        ("c.jsonl", '{{"file_name": "{1}", "text": "two"}}\n{{"file_name": "{0}", "text": "one"}}\n'
                    '{{"file_name": "{2}", "caption": "three"}}\n'),
    ],
)  # fmt: skip
def test_captions_from_a_file(tmp_path, name, text):
    found = opened(tmp_path / "drawn")
    names = [each.path.name for each in found.pictures]
    (tmp_path / name).write_text(text.format(*names))
    read = found.captioned(read_captions(tmp_path / name), "--captions")
    assert read.captions == ["one", "two", "three"]


def test_no_captions(tmp_path):
    with pytest.raises(
        UsageError, match="drawn: 3 of 3 pictures come without a caption.*give --captions FILE"
    ):
        check([opened(tmp_path / "drawn")], captions=True)


def test_captions_of_other_pictures(tmp_path):
    found = opened(tmp_path / "drawn")
    with pytest.raises(UsageError, match=r"file has 2 captions, and .*drawn 3 pictures"):
        found.captioned(["one", "two"], "file")
    with pytest.raises(UsageError, match="file has no caption of 000-a-picture-seed0.png, nor of 2 more"):
        found.captioned({"x.png": "one"}, "file")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.jsonl", '{"file_name": "a.png"}\n', "line 1 is no JSON object with 'file_name' and 'text'"),
        ("c.jsonl", "", "holds no captions"),
        ("c.txt", "\n", "holds no prompts"),
        ("c.tsv", "a\tb\n1\t2\n", "no column named prompt, caption, text"),
    ],
)
def test_files_without_captions(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        read_captions(tmp_path / name)


def test_a_file_of_captions_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot be read as UTF-8 text"):
        read_captions(tmp_path / "c.jsonl")


def test_sizes_that_differ(tmp_path):
    found = opened(tmp_path / "drawn")
    Image.new("RGB", (41, 40)).save(tmp_path / "drawn" / "9.png")
    with pytest.raises(UsageError, match=r"differ in size: 40x40 .*, 41x40 \(9.png\)"):
        PictureSet.open("drawn", found.folder).check_size()
    other = opened(tmp_path / "other", size=(48, 40), name="other")
    with pytest.raises(UsageError, match="drawn has pictures of 40x40, and other of 48x40"):
        check([found, other], captions=False)


def test_another_count(tmp_path):
    sets = [opened(tmp_path / "one"), opened(tmp_path / "two", count=4, name="other")]
    with pytest.raises(UsageError, match="drawn has 3 pictures, and other 4"):
        check(sets, captions=False)


def test_other_captions(tmp_path):
    one = opened(tmp_path / "one", captions=["a", "b", "c"])
    two = opened(tmp_path / "two", captions=["a", "x", "c"], name="other")
    with pytest.raises(UsageError, match="picture 1 is of 'b' in drawn, and of 'x' in other"):
        check([one, two], captions=False)


def test_no_pictures(tmp_path):
    with pytest.raises(DataError, match="holds no pictures"):
        PictureSet.open("drawn", tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        PictureSet.open("drawn", tmp_path / "x")


def test_what_is_no_picture(tmp_path):
    found = opened(tmp_path)
    found.pictures[1].path.write_bytes(b"<html>404</html>")
    with pytest.raises(DataError, match="001-a-picture-seed1.png is no picture that can be read"):
        PictureSet.open("drawn", tmp_path)
