"""A folder of pictures with captions beside them, in JSON lines or in a table."""

import json

import pytest

from aptp.data.sources import open_source
from runtime.errors import DataError
from tests.aptp.data.datasets import folder, number_of, picture, put


def everything(root):
    found = []
    for split in ("train", "test"):
        source = open_source(f"folder:{root}", size=(8, 8), split=split)
        for i in range(source.about["pairs"]):
            found.append((source[i].caption, number_of(source[i].image[4, 4])))
    return sorted(found)


def left_out(root):
    return open_source(f"folder:{root}").about["left_out"]


EXPECTED = [(f"picture number {i}", i) for i in range(6)]


def lines(*entries):
    return "".join(json.dumps(entry) + "\n" for entry in entries)


@pytest.mark.parametrize("name", ["text", "caption"])
def test_json_lines(tmp_path, name):
    folder(tmp_path)
    entries = [{"file_name": f"some/{i:03d}.jpg", name: f"picture number {i}"} for i in range(6)]
    put(tmp_path / "metadata.jsonl", lines(*entries))
    for path in (tmp_path / "some").glob("*.txt"):
        path.unlink()
    assert everything(tmp_path) == EXPECTED


def test_a_table(tmp_path):
    folder(tmp_path)
    put(tmp_path / "captions.tsv", "".join(f"some/{i:03d}.jpg\ta {i}\n" for i in range(6)))
    assert everything(tmp_path) == [(f"a {i}", i) for i in range(6)]


def test_texts_beside_pictures(tmp_path):
    folder(tmp_path)
    put(tmp_path / ".cache" / "hidden.jpg", picture(9))
    assert everything(tmp_path) == EXPECTED


def test_what_is_left_out(tmp_path):
    folder(tmp_path)
    (tmp_path / "some" / "001.txt").unlink()
    put(tmp_path / "some" / "002.txt", "\n")
    assert left_out(tmp_path) == {"without a caption": 2}
    texts = (5, None, "a star", "a ring")
    entries = [{"file_name": f"some/{i:03d}.jpg", "text": text} for i, text in enumerate(texts)]
    put(tmp_path / "metadata.jsonl", lines(*entries))
    assert left_out(tmp_path) == {"without a caption": 2}
    (tmp_path / "metadata.jsonl").unlink()
    put(tmp_path / "captions.tsv", "some/003.jpg\ta star\nsome/004.jpg\ta ring\nsome/none.jpg\tnothing\n")
    assert left_out(tmp_path) == {"without a picture": 1}


@pytest.mark.parametrize(
    "line", ['{"file_name": "some/001.jpg"}', '{"text": "a star"}', "[]", "{", '"file_name text"', "1"]
)
def test_lines_that_lack_something(tmp_path, line):
    folder(tmp_path)
    put(tmp_path / "metadata.jsonl", lines({"file_name": "some/000.jpg", "text": "a star"}) + line)
    with pytest.raises(
        DataError, match="metadata.jsonl, line 2 is no JSON object with 'file_name' and 'text'"
    ):
        left_out(tmp_path)


def test_a_table_that_lacks_a_column(tmp_path):
    folder(tmp_path)
    put(tmp_path / "captions.tsv", "some/000.jpg\n")
    with pytest.raises(
        DataError, match="captions.tsv, line 1 has 1 columns; it should have two, file and caption"
    ):
        left_out(tmp_path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="nothing is left of folder to use; it holds no pairs"):
        left_out(tmp_path)
