"""Shards of captioned pictures: captions in texts or in JSON, and splits that shards are named after."""

import json

import pytest

from aptp.data.sources import open_source
from runtime.errors import DataError, UsageError
from tests.aptp.data.datasets import number_of, picture, put, shard


def sample(number, **more):
    told = {"key": f"{number:09d}", "caption": f"json {number}", "alt": f"alt {number}", "width": 48}
    return {"jpg": picture(number), "txt": f"text {number}", "json": json.dumps(told), **more}


def without(ending, number):
    return {name: data for name, data in sample(number).items() if name != ending}


def numbers(root, split):
    source = open_source(f"webdataset:{root}", size=(8, 8), split=split)
    samples = [source[i] for i in range(source.about["pairs"])]
    assert all(each.caption.split()[1] == str(number_of(each.image[4, 4])) for each in samples)
    return sorted(number_of(each.image[4, 4]) for each in samples)


def kinds(root, options="", positions=40):
    source = open_source(f"webdataset:{root}{options}")
    return [source[i].caption.split()[0] for i in range(positions)]


def test_captions_are_texts(tmp_path):
    shard(tmp_path / "00000.tar", map(sample, range(4)))
    put(tmp_path / "00000.parquet", "img2dataset's own")
    put(tmp_path / "00000_stats.json", "{}")
    assert set(kinds(tmp_path)) == {"text"}
    assert sorted(numbers(tmp_path, "train") + numbers(tmp_path, "test")) == [0, 1, 2, 3]


@pytest.mark.parametrize("field", ["caption", "text"])
def test_without_texts_captions_are_in_json(tmp_path, field):
    told = [{"jpg": picture(i), "json": json.dumps({field: f"json {i}"})} for i in range(4)]
    shard(tmp_path / "00000.tar", told)
    shard(tmp_path / "00001.tar", map(sample, range(4)))
    assert set(kinds(tmp_path)) == {"json", "text"}


def test_of_named_fields_one_is_drawn(tmp_path):
    shard(tmp_path / "00000.tar", map(sample, range(4)))
    seen = kinds(tmp_path, "?captions=caption+alt")
    assert set(seen) == {"json", "alt"}
    assert kinds(tmp_path, "?captions=caption+alt") == seen
    assert set(kinds(tmp_path, "?captions=alt")) == {"alt"}


def test_samples_that_lack_something_are_left_out(tmp_path):
    shard(
        tmp_path / "00000.tar",
        [sample(0), without("txt", 1), without("jpg", 2), sample(3, txt=" "), sample(4)],
    )
    assert open_source(f"webdataset:{tmp_path}").about["left_out"] == {"without a caption": 2}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("cc3m-train-0000.tar", "cc3m-validation-0000.tar"),
        ("train/00000.tar", "val/00000.tar"),
        ("train_00000.tar", "test_00000.tar"),
    ],
)
def test_splits_that_shards_are_named_after(tmp_path, train, test):
    shard(tmp_path / train, map(sample, range(3)))
    shard(tmp_path / test, map(sample, range(3, 5)))
    assert (numbers(tmp_path, "train"), numbers(tmp_path, "test")) == ([0, 1, 2], [3, 4])


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("{", "00000.tar/000000001.json is no JSON"),
        ("[]", "00000.tar/000000001.json is no JSON object"),
        ("[" * 100_000, "00000.tar/000000001.json is no JSON"),
        ('{"alts": "a"}', r"00000.tar/000000001.json has no 'alt' \(did you mean 'alts'"),
    ],
)
def test_json_that_is_none(tmp_path, told, message):
    shard(tmp_path / "00000.tar", [sample(0), sample(1, json=told)])
    with pytest.raises(DataError, match=message):
        kinds(tmp_path, "?captions=alt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.jpg", r"holds no shards \(\*.tar\); read files as folder:"),
        ("00000.tar.gz", "00000.tar.gz is compressed: unpack it to a .tar"),
    ],
)
def test_a_folder_without_shards(tmp_path, name, message):
    put(tmp_path / name, b"")
    with pytest.raises(DataError, match=message):
        kinds(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "?caption=alt",
            r"there is no setting 'caption' \(did you mean 'captions'\?\); use captions, and ==",
        ),
        ("?captions=alt+", "'captions=alt[+]': give the names of columns, with [+] between them"),
        ("?width>=5", "webdataset takes no conditions"),
    ],
)
def test_settings_that_are_none(tmp_path, options, message):
    shard(tmp_path / "00000.tar", [sample(0)])
    with pytest.raises(UsageError, match=message):
        kinds(tmp_path, options)
