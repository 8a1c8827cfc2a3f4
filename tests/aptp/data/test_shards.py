"""Shards: looked through once, remembered as long as they stay what they were."""

import io
import os
import tarfile
from pathlib import PurePosixPath

import pytest

from aptp.data import shards, storage
from aptp.data.shards import members
from runtime.errors import DataError
from tests.aptp.data.datasets import picture, shard

NAME = PurePosixPath("00000.tar")


def samples(count):
    return [{"jpg": picture(i), "txt": f"caption {i}"} for i in range(count)]


@pytest.fixture
def looks(monkeypatch):
    """Record which shards are looked through."""
    seen, look = [], shards._samples

    def counted(archive, wanted, path):
        seen.append(wanted)
        return look(archive, wanted, path)

    monkeypatch.setattr(shards, "_samples", counted)
    return seen


def test_samples_are_what_shares_a_name(tmp_path):
    with tarfile.open(tmp_path / NAME, "w") as archive:
        for name in ("deep", "deep/b.c.txt", "a.JPG", "a.txt", "a.b.jpg", "link", "c.txt", "d.jpg"):
            info = tarfile.TarInfo(name)
            info.type = {"deep": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}.get(name, tarfile.REGTYPE)
            info.linkname = "/etc/passwd" if name == "link" else ""
            info.size = len(name) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(name.encode()))
    found = members(tmp_path, NAME, "txt")
    assert [(sample.key, sample.text) for sample in found] == [("a", "a.txt"), ("d", None)]
    assert [storage.read(tmp_path, sample.place) for sample in found] == [b"a.JPG", b"d.jpg"]


def test_names_of_any_length(tmp_path):
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / NAME, "w", format=form) as archive:
            info = tarfile.TarInfo("ä" * 120 + ".jpg")
            info.size, info.mtime = 3, 1.5
            archive.addfile(info, io.BytesIO(b"abc"))
        (found,) = members(tmp_path, NAME, "txt")
        assert found.key == "ä" * 120
        assert storage.read(tmp_path, found.place) == b"abc"


def test_a_shard_is_looked_through_once(tmp_path, looks):
    shard(tmp_path / NAME, samples(3))
    first = members(tmp_path, NAME, "txt")
    assert first == members(tmp_path, NAME, "txt")
    assert len(first) == 3
    assert looks == ["txt"]
    assert [sample.text for sample in members(tmp_path, NAME, "json")] == [None] * 3
    assert looks == ["txt", "json"]


def test_places_are_relative_to_the_folder_that_was_opened(tmp_path, looks):
    shard(tmp_path / "deep" / NAME, samples(1))
    members(tmp_path / "deep", NAME, "txt")
    (found,) = members(tmp_path, "deep" / NAME, "txt")
    assert looks == ["txt"]
    assert storage.read(tmp_path, found.place) == picture(0)


def test_a_shard_that_changed_is_looked_through_again(tmp_path):
    shard(tmp_path / NAME, samples(3))
    members(tmp_path, NAME, "txt")
    shard(tmp_path / NAME, samples(4))
    assert len(members(tmp_path, NAME, "txt")) == 4


def test_what_is_remembered_may_be_damaged(tmp_path, cache):
    shard(tmp_path / NAME, samples(3))
    found = members(tmp_path, NAME, "txt")
    (kept,) = (cache / "aptp" / "shards").iterdir()
    for damaged in (b"", b"no", kept.read_bytes()[:-10]):
        kept.write_bytes(damaged)
        assert members(tmp_path, NAME, "txt") == found


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path, cache, looks):
    shard(tmp_path / NAME, samples(3))
    (cache / "aptp").write_text("a file where a folder should be")
    assert members(tmp_path, NAME, "txt") == members(tmp_path, NAME, "txt")
    assert len(looks) == 2


def test_compressed_shards_are_refused(tmp_path):
    with tarfile.open(tmp_path / NAME, "w:gz"):
        pass
    with pytest.raises(DataError, match="00000.tar is no whole, uncompressed tar file"):
        members(tmp_path, NAME, "txt")


def test_an_empty_shard_holds_nothing(tmp_path):
    shard(tmp_path / NAME, [])
    assert members(tmp_path, NAME, "txt") == []


def tar(path, *members):
    """A tar file of (name, bytes)."""
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize(
    "clutter",
    [
        "._{}",
        ".DS_Store",
        "__MACOSX/._{}",
        "__MACOSX/{}",
        ".hidden/{}",
        "./._{}",
        "PaxHeader/{}",
        "PaxHeaders.1/{}",
    ],
)
def test_what_other_systems_pack_beside_is_passed_over(tmp_path, clutter):
    pairs = [
        (f"{i}.{ending}", data) for i in range(3) for ending, data in (("jpg", picture(i)), ("txt", b"a"))
    ]
    tar(
        tmp_path / NAME,
        *(each for pair in pairs for each in ((clutter.format(pair[0]), b"\0\5\x16\7"), pair)),
    )
    found = members(tmp_path, NAME, "txt")
    assert [(sample.key, sample.text) for sample in found] == [("0", "a"), ("1", "a"), ("2", "a")]


@pytest.mark.parametrize("name", ["./0", "a/0", "./a/0"])
def test_members_may_lie_in_folders(tmp_path, name):
    tar(tmp_path / NAME, (f"{name}.jpg", picture()), (f"{name}.txt", b"a star"))
    assert [sample.text for sample in members(tmp_path, NAME, "txt")] == ["a star"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_texts_with_a_byte_order_mark(tmp_path, encoding):
    tar(tmp_path / NAME, ("0.jpg", picture()), ("0.txt", "une \u00e9toile".encode(encoding)))
    assert [sample.text for sample in members(tmp_path, NAME, "txt")] == ["une \u00e9toile"]


def test_texts_that_are_not_utf8_are_refused_by_member(tmp_path):
    tar(tmp_path / NAME, ("0.jpg", picture()), ("0.txt", "une\n\u00e9toile".encode("latin-1")))
    with pytest.raises(DataError, match="00000.tar/0.txt, line 2 is not UTF-8; convert"):
        members(tmp_path, NAME, "txt")


def declared(path, name, size, kind=tarfile.REGTYPE):
    """A tar file whose only header declares a size that its file has on paper alone."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    with path.open("wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(512 * (size // 512 + 4))


@pytest.mark.parametrize("ending", ["txt", "jpg"])
def test_sparse_members_are_refused(tmp_path, ending):
    header = tarfile.TarInfo(f"0.{ending}")
    header.type, header.size = tarfile.GNUTYPE_SPARSE, 512
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"%011o\0%011o\0" % (0, 512)
    block[483:495] = b"%011o\0" % (1 << 30)  # bytes that it has when it is unpacked
    block[148:156] = b"%06o\0 " % sum(block[:148] + b" " * 8 + block[156:])
    (tmp_path / NAME).write_bytes(block + b"a" * 512 + bytes(1024))
    with pytest.raises(
        DataError, match=rf"00000.tar: its member 0.{ending} is sparse; pack it again without"
    ):
        members(tmp_path, NAME, "txt")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "0.txt",
            tarfile.REGTYPE,
            "0.txt has 1,073,741,824 bytes, and a caption at most 16,777,216; remove it",
        ),
        ("0.jpg", tarfile.GNUTYPE_LONGNAME, "a header of 1,073,741,824 bytes"),
        ("0.jpg", tarfile.XHDTYPE, "a header of 1,073,741,824 bytes"),
    ],
)
def test_sizes_are_checked_before_so_much_is_read(tmp_path, name, kind, message):
    declared(tmp_path / NAME, name, 1 << 30, kind)
    with pytest.raises(DataError, match=message):
        members(tmp_path, NAME, "txt")


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / NAME)
    with pytest.raises(DataError, match="00000.tar cannot be read: it is not a regular file"):
        members(tmp_path, NAME, "txt")
