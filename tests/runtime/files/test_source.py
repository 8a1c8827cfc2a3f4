"""A user's own files: links are followed, pipes are not waited for, sizes are capped, digests recorded."""

import hashlib
import os
from pathlib import Path

import pytest

from runtime.files.source import digest_folder, digest_source, open_source, read_source
from runtime.files.verified import FileEntry


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"weights")
    (tmp_path / "model").symlink_to("blob")
    with open_source(tmp_path / "model") as file:
        assert file.read() == b"weights"
    assert digest_source(tmp_path / "model") == FileEntry(7, hashlib.sha256(b"weights").hexdigest())


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match="it is not a regular file"):
            read_source(path, 10)
    with pytest.raises(FileNotFoundError):
        read_source(tmp_path / "nowhere", 10)


def test_a_size_is_capped(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    assert read_source(tmp_path / "file", 10) == b"x" * 10
    with pytest.raises(OSError, match="larger than 9 bytes"):
        read_source(tmp_path / "file", 9)


def test_a_folder_as_download_caches_make_them(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs/1").write_bytes(b"a")
    (tmp_path / "snapshot/unet").mkdir(parents=True)
    (tmp_path / "snapshot/unet/config.json").symlink_to(tmp_path / "blobs/1")
    (tmp_path / "snapshot/again").symlink_to("unet")
    found = digest_folder(tmp_path / "snapshot")
    assert list(found) == ["again/config.json", "unet/config.json"]
    assert found["unet/config.json"] == found["again/config.json"] == digest_source(tmp_path / "blobs/1")


def test_a_folder_that_leads_back_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/back").symlink_to(tmp_path)
    with pytest.raises(OSError, match="its links lead back to it"):
        digest_folder(tmp_path)
