"""Folders appear whole or not at all."""

import errno
import os
import subprocess
import sys

import pytest

from runtime.errors import DiskFullError
from runtime.files import publish


def write(folder, text):
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_text(text)


def read(folder):
    return (folder / "deep" / "file").read_text()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def publish_badly(target, needed, error):
    with publish.disk_space(target, needed), publish.publishing(target) as folder:
        write(folder, "half")
        raise error


def test_a_folder_appears(tmp_path):
    with publish.publishing(tmp_path / "a") as folder:
        write(folder, "one")
        assert not (tmp_path / "a").exists()
    assert read(tmp_path / "a") == "one"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_replaced(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(publish, "_exchange", lambda one, other: False)
    for text in ("one", "two"):
        with publish.publishing(tmp_path / "a") as folder:
            write(folder, text)
    assert read(tmp_path / "a") == "two"
    assert names(tmp_path) == ["a"]


def test_a_failure_leaves_the_previous_folder(tmp_path):
    with publish.publishing(tmp_path / "a") as folder:
        write(folder, "one")
    with pytest.raises(KeyError):
        publish_badly(tmp_path / "a", 1, KeyError())
    assert read(tmp_path / "a") == "one"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_names_the_path_and_the_bytes(tmp_path, number):
    with pytest.raises(DiskFullError, match=r"/a: no space left, 12,345 bytes needed"):
        publish_badly(tmp_path / "a", 12345, OSError(number, os.strerror(number)))
    assert names(tmp_path) == []


def test_recover_undoes_a_replacement_that_was_cut_off(tmp_path):
    (tmp_path / ".a.old").mkdir()
    write(tmp_path / ".a.old", "one")
    (tmp_path / ".a.tmp").mkdir()
    publish.recover(tmp_path / "a")
    assert read(tmp_path / "a") == "one"
    assert names(tmp_path) == ["a"]


def test_place_gives_a_file_a_second_name_or_copies_it(tmp_path, monkeypatch):
    write(tmp_path, "one")
    publish.place(tmp_path / "deep" / "file", tmp_path / "b" / "linked")
    assert (tmp_path / "b" / "linked").samefile(tmp_path / "deep" / "file")

    def refuse(source, target):
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refuse)
    publish.place(tmp_path / "deep" / "file", tmp_path / "b" / "copied")
    assert (tmp_path / "b" / "copied").read_text() == "one"


def test_a_file_is_whole_or_not_there(tmp_path):
    publish.write_file(tmp_path / "a", "one")

    def torn():
        with publish.replacing(tmp_path / "a") as file:
            file.write(b"tw")
            raise KeyError

    with pytest.raises(KeyError):
        torn()
    assert (tmp_path / "a").read_text() == "one"
    publish.write_file(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_text() == "two"
    assert names(tmp_path) == ["a"]


def test_no_link_is_followed(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis").write_text("years of work")
    (tmp_path / "a").symlink_to(tmp_path / "home" / "thesis")
    publish.write_file(tmp_path / "a", "one")
    for name in ("b", ".b.tmp"):
        (tmp_path / name).symlink_to(tmp_path / "home")
    with publish.publishing(tmp_path / "b") as folder:
        write(folder, "one")
    assert not any((tmp_path / name).is_symlink() for name in "ab")
    assert (tmp_path / "home" / "thesis").read_text() == "years of work"
    assert names(tmp_path) == ["a", "b", "home"]


def test_what_killed_processes_left_is_swept(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (f".a.{ended.pid}-0.tmp", f".a.{os.getppid()}-0.tmp", ".a.me.tmp", f".ab.{ended.pid}-0.tmp"):
        (tmp_path / name).write_text("half")
    publish.write_file(tmp_path / "a", "one")
    assert f".a.{ended.pid}-0.tmp" not in names(tmp_path)
    assert len(names(tmp_path)) == 4


def test_what_belongs_to_another_user_is_not_replaced(tmp_path, monkeypatch):
    publish.write_file(tmp_path / "file", "theirs")
    (tmp_path / "folder").mkdir()
    (tmp_path / ".new.tmp").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: (tmp_path / "file").stat().st_uid + 1)
    with pytest.raises(PermissionError, match="belongs to another user"):
        publish.write_file(tmp_path / "file", "mine")
    for name in ("folder", "new"):
        with (
            pytest.raises(PermissionError, match="belongs to another user"),
            publish.publishing(tmp_path / name),
        ):
            pytest.fail("it was opened")
    assert (tmp_path / "file").read_text() == "theirs"


def test_without_replacing_a_folder_that_is_there_stays(tmp_path):
    def race():
        with publish.publishing(tmp_path / "a", replace=False) as folder:
            write(folder, "mine")
            (tmp_path / "a").mkdir()
            write(tmp_path / "a", "theirs")

    with pytest.raises(OSError, match="not empty"):
        race()
    assert read(tmp_path / "a") == "theirs"
    assert names(tmp_path) == ["a"]
