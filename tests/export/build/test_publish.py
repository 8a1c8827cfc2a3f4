"""Folders appear whole or not at all."""

from __future__ import annotations

import errno
import os

import pytest

from export.build import publish
from runtime.errors import DiskFullError


def write(folder, text):
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_text(text)


def read(folder):
    return (folder / "deep" / "file").read_text()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def publish_badly(target, needed, error):
    with publish.publishing(target, needed) as folder:
        write(folder, "half")
        raise error


def test_a_folder_appears(tmp_path):
    with publish.publishing(tmp_path / "a", 1) as folder:
        write(folder, "one")
        assert not (tmp_path / "a").exists()
    assert read(tmp_path / "a") == "one"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_replaced(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(publish, "_exchange", lambda one, other: False)
    for text in ("one", "two"):
        with publish.publishing(tmp_path / "a", 1) as folder:
            write(folder, text)
    assert read(tmp_path / "a") == "two"
    assert names(tmp_path) == ["a"]


def test_a_failure_leaves_the_previous_folder(tmp_path):
    with publish.publishing(tmp_path / "a", 1) as folder:
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


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("twO"),
        lambda path: path.write_text("twoo"),
        lambda path: path.write_text(""),
        lambda path: path.unlink(),
        lambda path: (path.rename(path.with_name("other")), path.symlink_to("other")),
    ],
)
def test_matches_sees_every_kind_of_damage(tmp_path, damage):
    write(tmp_path, "two")
    files = publish.describe(tmp_path)
    assert list(files) == ["deep/file"]
    assert publish.matches(tmp_path, files)
    damage(tmp_path / "deep" / "file")
    assert not publish.matches(tmp_path, files)


def test_place_gives_a_file_a_second_name_or_copies_it(tmp_path, monkeypatch):
    write(tmp_path, "one")
    publish.place(tmp_path / "deep" / "file", tmp_path / "b" / "linked")
    assert (tmp_path / "b" / "linked").samefile(tmp_path / "deep" / "file")

    def refuse(source, target):
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refuse)
    publish.place(tmp_path / "deep" / "file", tmp_path / "b" / "copied")
    assert (tmp_path / "b" / "copied").read_text() == "one"
