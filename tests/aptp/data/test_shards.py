"""Shards: looked through once, remembered as long as they stay what they were."""

import io
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

    def counted(archive, wanted):
        seen.append(wanted)
        return look(archive, wanted)

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
