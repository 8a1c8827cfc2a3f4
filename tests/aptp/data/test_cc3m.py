"""Conceptual Captions as tables, as shards and as files."""

import pytest

from aptp.data.sources import open_source
from runtime.errors import DataError
from tests.aptp.data.datasets import NOT_A_PICTURE, gcc, number_of, picture, put, shard


def everything(*sources):
    """(caption, number of its picture) of one pass of each."""
    samples = [source[i] for source in sources for i in range(source.about["pairs"])]
    return sorted((sample.caption, number_of(sample.image[4, 4])) for sample in samples)


def opened(root, split="train"):
    return open_source(f"cc3m:{root}", size=(8, 8), split=split)


def both(root):
    return opened(root), opened(root, "test")


@pytest.mark.parametrize("numbered", [True, False])
def test_a_table_and_pictures_named_after_their_address(tmp_path, numbered):
    gcc(tmp_path, numbered=numbered)
    assert everything(*both(tmp_path)) == [(f"picture {i} by a person", i) for i in range(6)]
    assert [source.about["pairs"] for source in both(tmp_path)] == [5, 1]


def test_endings_do_not_matter(tmp_path):
    for path in gcc(tmp_path):
        path.rename(path.with_name(path.name + ".jpg"))
    assert len(everything(*both(tmp_path))) == 6


def test_google_s_validation_is_the_test_split(tmp_path):
    gcc(tmp_path, 6)
    gcc(tmp_path, 3, test=True)
    assert [source.about["pairs"] for source in both(tmp_path)] == [6, 3]
    assert opened(tmp_path, "test")[0].metadata["place"].startswith("validation/")


def test_what_was_not_fetched_is_left_out(tmp_path):
    gcc(tmp_path)[2].unlink()
    assert opened(tmp_path).about["left_out"] == {"without a picture": 1}


def test_a_picture_of_another_address_is_nobody_s(tmp_path):
    path = gcc(tmp_path)[2]
    path.rename(path.with_name("2_123"))
    assert "picture 2 by a person" not in [caption for caption, _ in everything(*both(tmp_path))]


def test_one_picture_is_not_given_to_two_rows(tmp_path):
    gcc(tmp_path, numbered=False)
    table = tmp_path / "Train_GCC-training.tsv"
    first = table.read_text().splitlines()[0]
    table.write_text(table.read_text() + first.replace("picture 0", "something else") + "\n")
    assert [caption for caption, number in everything(*both(tmp_path)) if number == 0] == [
        "picture 0 by a person"
    ]


def test_a_missing_column_is_named(tmp_path):
    gcc(tmp_path)
    with (tmp_path / "Train_GCC-training.tsv").open("a") as file:
        file.write("a caption alone\n")
    message = "tsv, line 7 has 1 columns; it should have two, caption and address"
    with pytest.raises(DataError, match=message):
        opened(tmp_path)


def sample(number, **more):
    return {"jpg": picture(number), "txt": f"picture {number}", "json": "{}", **more}


def test_shards(tmp_path):
    shard(tmp_path / "00000.tar", map(sample, range(4)))
    shard(tmp_path / "deeper" / "00001.tar", map(sample, range(4, 7)))
    put(tmp_path / "00000.parquet", "img2dataset's own")
    assert everything(*both(tmp_path)) == [(f"picture {i}", i) for i in range(7)]


def test_members_that_cannot_be_used(tmp_path):
    samples = [sample(0), {"txt": "no picture"}, sample(2, txt=" "), {"jpg": picture(3)}, sample(4)]
    samples[4]["jpg"] = NOT_A_PICTURE
    shard(tmp_path / "00000.tar", samples + [sample(i) for i in range(5, 9)])
    found = both(tmp_path)
    assert found[0].about["left_out"] == {"without a caption": 2}
    assert {number for _, number in everything(*found)} == {0, 5, 6, 7, 8}
    skipped = {line for source in found for i in range(6) for line in source[i].metadata["skipped"]}
    assert skipped == {("00000.tar/000000004.jpg", "it is none of JPEG, PNG, WEBP, GIF, BMP, TIFF")}


@pytest.mark.parametrize("kept", [0, 100, 600, 2048, 3000])
def test_a_shard_cut_short_is_refused(tmp_path, kept):
    shard(tmp_path / "00000.tar", map(sample, range(4)))
    path = tmp_path / "00000.tar"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="00000.tar is no whole, uncompressed tar file .*; fetch it again"):
        opened(tmp_path)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    shard(tmp_path / "00000.tar", map(sample, range(4)))
    path = tmp_path / "00000.tar"
    data = bytearray(path.read_bytes())
    data[data.index(b"000000002.jpg")] = 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match="no header and no end at byte"):
        opened(tmp_path)


def test_a_shard_that_changed_while_it_is_read(tmp_path):
    shard(tmp_path / "00000.tar", map(sample, range(4)))
    found = opened(tmp_path)
    path = tmp_path / "00000.tar"
    path.write_bytes(path.read_bytes()[:3000])
    assert len({found[i].metadata["place"] for i in range(9)}) == 1
    lost = {why for i in range(4) for _, why in found[i].metadata["skipped"]}
    assert lost == {"its shard ends before it does"}


def test_what_img2dataset_leaves_as_files(tmp_path):
    for i in range(5):
        put(tmp_path / "00000" / f"{i:09d}.jpg", picture(i))
        put(tmp_path / "00000" / f"{i:09d}.txt", f"picture {i}")
        put(tmp_path / "00000" / f"{i:09d}.json", "{}")
    assert everything(*both(tmp_path)) == [(f"picture {i}", i) for i in range(5)]
