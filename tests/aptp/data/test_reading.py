"""The boundary of readers: whatever a file is, the error names it."""

import pytest

from aptp.data import reading
from aptp.data.reading import lines, text
from aptp.data.sources import READERS, open_source
from runtime.errors import DataError, UsageError
from tests.aptp.data.datasets import coco, folder, gcc, picture, pixelprose, put, shard

FILES = {
    "coco": "annotations/captions_train2014.json",
    "cc3m": "Train_GCC-training.tsv",
    "pixelprose": "data/vlm_captions_cc12m_00.parquet",
    "webdataset": "00000.tar",
    "folder": "metadata.csv",
}
JUNK = {
    "nothing": b"",
    "zeros": bytes(4096),
    "a picture": picture(),
    "brackets": b"[" * 100_000,
    "a deep object": b'{"a":' * 50_000,
    "bytes that are no text": b"\xff\xfe\xff" * 1000,
    "an LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
    "a page": b"<!DOCTYPE html>\n<html>404</html>\n",
}


def make(name, root):
    if name == "webdataset":
        shard(root / "00000.tar", [{"jpg": picture(), "txt": "a star"}])
    else:
        {"coco": coco, "cc3m": gcc, "pixelprose": pixelprose, "folder": folder}[name](root)


def test_every_reader_is_tried():
    assert FILES.keys() == READERS.keys()


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("junk", JUNK)
def test_a_wrong_file_is_named(tmp_path, name, junk):
    make(name, tmp_path)
    put(tmp_path / FILES[name], JUNK[junk])
    with pytest.raises(DataError) as caught:
        open_source(f"{name}:{tmp_path}")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", sorted(READERS.keys() - {"folder"}))
def test_a_folder_where_a_file_should_be(tmp_path, name):
    make(name, tmp_path)
    (tmp_path / FILES[name]).unlink()
    (tmp_path / FILES[name]).mkdir()
    with pytest.raises(DataError) as caught:
        open_source(f"{name}:{tmp_path}")
    assert str(tmp_path) in str(caught.value)


def test_what_no_reader_foresaw_is_still_named(tmp_path, monkeypatch):
    folder(tmp_path)

    def failing(root, split, conditions):
        raise KeyError("a mistake")

    monkeypatch.setitem(READERS, "folder", failing)
    with pytest.raises(DataError, match=r"is no folder of folder \('a mistake'\)"):
        open_source(f"folder:{tmp_path}")


def test_errors_of_ours_pass_as_they_are(tmp_path):
    with pytest.raises(UsageError, match="mine"), reading.reading(tmp_path, "file"):
        raise UsageError("mine")


def test_lines_have_numbers_and_ends(tmp_path):
    put(tmp_path / "a", "one\r\ntwo\rstill two\n\nfour")
    assert list(lines(tmp_path / "a")) == [(1, "one\r\n"), (2, "two\rstill two\n"), (3, "\n"), (4, "four")]


def test_a_line_without_an_end_is_not_read_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_LINE", 100)
    put(tmp_path / "a", "short\n" + "x" * 101)
    with pytest.raises(DataError, match="a, line 2 is longer than 100 characters"):
        list(lines(tmp_path / "a"))


@pytest.mark.parametrize(
    ("data", "line", "encoding"),
    [
        (b"a\nb\n\xe9", 3, "UTF-8"),
        (b"\xef\xbb\xbfa\n\xe9\n", 2, "UTF-8"),
        (b"\xff\xfea\0\n\0\0\xd8", 2, "UTF-16"),
        ("\ud800".encode("utf-8", "surrogatepass"), 1, "UTF-8"),
    ],
)
def test_bytes_that_are_no_text_are_named_by_line(tmp_path, data, line, encoding):
    put(tmp_path / "a", data)
    told = f"line {line} is not {encoding}; convert the file"
    with pytest.raises(DataError, match=f"the caption, {told}"):
        text(data, "the caption")
    with pytest.raises(DataError, match=f"a, {told}"):
        list(lines(tmp_path / "a"))
