"""PixelProse: its 28 columns, conditions on them, and which picture is whose."""

import json
import sys

import pyarrow as pa
import pytest

from aptp.data.sources import open_source
from runtime.errors import DataError, Refused, UsageError
from tests.aptp.data.datasets import (
    PIXELPROSE,
    number_of,
    picture,
    pixelprose,
    prose,
    put,
    shard,
    write_prose,
)

TABLE = "data/vlm_captions_cc12m_00.parquet"


def opened(root, conditions="", split="train"):
    return open_source(f"pixelprose:{root}{conditions}", size=(8, 8), split=split)


def everything(root, conditions=""):
    """(number in the caption, number of the picture) of one pass of both splits."""
    sources = [opened(root, conditions, split) for split in ("train", "test")]
    samples = [source[i] for source in sources for i in range(source.about["pairs"])]
    return sorted((int(s.caption.split()[3].rstrip(".")), number_of(s.image[4, 4])) for s in samples)


def same(*numbers):
    return [(number, number) for number in numbers]


def test_the_published_schema_has_28_columns():
    assert len(PIXELPROSE) == len(set(PIXELPROSE.names)) == 28


def test_captions_lose_what_nearly_all_begin_with(tmp_path):
    pixelprose(tmp_path)
    assert everything(tmp_path) == same(*range(6))
    assert opened(tmp_path)[0].caption.startswith("A thing called ")


@pytest.mark.parametrize(
    ("conditions", "left"),
    [
        ("watermark_class_id==1", [0, 3, 4, 5]),
        ("watermark_class_id!=1", [1, 6]),
        ("aesthetic_score>=5.5,toxicity<0.004", [0, 1, 2, 3]),
        ("width>=48, height > 40", [4, 6]),
        ("subreddit==pics", [5, 6]),
        ("author!=someone", [0, 1, 2, 3, 4]),
    ],
)
def test_conditions_choose_rows(tmp_path, conditions, left):
    changes = [
        *({}, {"watermark_class_id": 0.0}, {"watermark_class_id": None}, {}, {"height": 50}),
        {"subreddit": "pics", "author": "someone", "aesthetic_score": None},
        {"subreddit": "pics", "author": None, "height": 99, "watermark_class_id": 2.0},
    ]
    pixelprose(tmp_path, 7)
    write_prose(tmp_path / TABLE, [prose(i, **change) for i, change in enumerate(changes)])
    assert everything(tmp_path, f"?{conditions}") == same(*left)
    about = opened(tmp_path, f"?{conditions}").about
    assert about["left_out"] == {"outside the conditions": 7 - len(left)}
    assert about["name"] == f"pixelprose?{conditions}"


def test_the_same_rows_are_held_out_wherever_their_pictures_lie(tmp_path):
    rows = pixelprose(tmp_path)
    held_out = opened(tmp_path, split="test")[0].caption
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    samples = [{"jpg": picture(i), "json": beside(row, uid=row["uid"])} for i, row in enumerate(rows)]
    shard(tmp_path / "elsewhere" / "00000.tar", samples)
    assert opened(tmp_path, split="test")[0].caption == held_out


def beside(row, **told):
    return json.dumps({"key": "000000000", "caption": row["vlm_caption"], **told})


@pytest.mark.parametrize("told", ["uid", "url"])
def test_shards_that_img2dataset_numbered_anew(tmp_path, told):
    rows = pixelprose(tmp_path)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    backwards = list(enumerate(rows))[::-1]
    samples = [{"jpg": picture(i), "json": beside(row, **{told: row[told]})} for i, row in backwards]
    shard(tmp_path / "images" / "00000.tar", samples)
    assert everything(tmp_path) == same(*range(6))


def test_files_that_img2dataset_numbered_anew(tmp_path):
    rows = pixelprose(tmp_path)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    for place, (i, row) in enumerate(list(enumerate(rows))[::-1]):
        put(tmp_path / f"images/{place:09d}.jpg", picture(i))
        put(tmp_path / f"images/{place:09d}.json", beside(row, uid=row["uid"]))
    write_prose(tmp_path / "images" / "00000.parquet", [{"key": "0"}], pa.schema([("key", pa.string())]))
    assert everything(tmp_path) == same(*range(6))


def test_pictures_under_the_published_keys(tmp_path):
    rows = pixelprose(tmp_path)
    for row in rows:
        (tmp_path / f"images/{row['uid']}.jpg").rename(tmp_path / f"images/{row['key']}.jpg")
    assert everything(tmp_path) == same(*range(6))


@pytest.mark.parametrize("told", ["{}", "no JSON", "[]", "[" * 100_000])
def test_a_picture_that_does_not_say_whose_it_is_is_nobody_s(tmp_path, told):
    rows = pixelprose(tmp_path)
    put(tmp_path / f"images/{rows[2]['uid']}.json", told)
    assert everything(tmp_path) == same(0, 1, 3, 4, 5)
    assert opened(tmp_path).about["left_out"] == {"without a picture": 1}


def test_rows_without_a_caption(tmp_path):
    pixelprose(tmp_path)
    rows = [
        prose(0, vlm_caption=None),
        prose(1, vlm_caption="This image displays:"),
        *map(prose, range(2, 6)),
    ]
    write_prose(tmp_path / TABLE, rows)
    assert everything(tmp_path) == same(2, 3, 4, 5)
    assert opened(tmp_path).about["left_out"] == {"without a caption": 2}


@pytest.mark.parametrize("name", ["uid", "url", "key"])
def test_a_missing_column_is_named(tmp_path, name):
    pixelprose(tmp_path)
    schema = PIXELPROSE.remove(PIXELPROSE.get_field_index(name))
    row = prose(0)
    del row[name]
    write_prose(tmp_path / TABLE, [row], schema)
    with pytest.raises(DataError, match=f"cc12m_00.parquet has no column '{name}'"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("conditions", "error", "message"),
    [
        ("aesthetic>=5", DataError, r"has no column 'aesthetic' \(did you mean 'aesthetic_score'"),
        ("aesthetic_score>=high", UsageError, "'aesthetic_score' holds numbers, and 'high' is none"),
        ("vlm_model>=gemini", UsageError, "'vlm_model' holds text, which can only be == or !="),
        ("aesthetic_score>=9", DataError, "nothing is left of .*; 6 outside the conditions"),
    ],
)
def test_conditions_that_cannot_be(tmp_path, conditions, error, message):
    pixelprose(tmp_path)
    with pytest.raises(error, match=message):
        opened(tmp_path, f"?{conditions}")


def test_of_several_captions_one_is_drawn(tmp_path):
    pixelprose(tmp_path)
    found = opened(tmp_path, "?captions=vlm_caption+original_caption,width>=48")
    seen = [found[i].caption for i in range(40)]
    assert {caption.split()[0] for caption in seen} == {"A", "alt"}
    assert found.about["name"] == "pixelprose?captions=vlm_caption+original_caption,width>=48"
    assert {opened(tmp_path, "?captions=original_caption")[i].caption.split()[0] for i in range(9)} == {"alt"}


@pytest.mark.parametrize(
    ("conditions", "error", "message"),
    [
        ("captions=alt", DataError, r"cc12m_00.parquet has no column 'alt'"),
        ("captoins=alt", UsageError, r"there is no setting 'captoins' \(did you mean 'captions'"),
        ("captions=url+,width>=4", UsageError, "give the names of columns"),
    ],
)
def test_captions_that_are_not_there(tmp_path, conditions, error, message):
    pixelprose(tmp_path)
    with pytest.raises(error, match=message):
        opened(tmp_path, f"?{conditions}")


@pytest.mark.parametrize("kept", [4, 100, 1000])
def test_a_table_whose_bytes_changed(tmp_path, kept):
    pixelprose(tmp_path)
    path = tmp_path / TABLE
    data = bytearray(path.read_bytes())
    data[kept : kept + 200] = b"\xff" * 200
    path.write_bytes(data)
    with pytest.raises(DataError, match="cc12m_00.parquet (cannot be read|is no whole parquet file)"):
        opened(tmp_path)


def test_a_folder_without_its_tables(tmp_path):
    write_prose(tmp_path / "00000.parquet", [{"key": "0"}], pa.schema([("key", pa.string())]))
    with pytest.raises(DataError, match="has no parquet file with a column 'vlm_caption'"):
        opened(tmp_path)


def test_a_table_cut_short(tmp_path):
    pixelprose(tmp_path)
    path = tmp_path / TABLE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cc12m_00.parquet is no whole parquet file"):
        opened(tmp_path)


def test_without_pyarrow(tmp_path, monkeypatch):
    pixelprose(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Refused, match=r"install aptp\[parquet\]"):
        opened(tmp_path)
