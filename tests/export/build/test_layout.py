"""A build works only where it replaces nothing of another's."""

from pathlib import Path

import pytest

from export.build import layout
from runtime.errors import UsageError


@pytest.mark.parametrize(
    ("folder", "mark"),
    [("bundle", "manifest.json"), ("bundle.build", "lock"), ("bundle.report", "report.json")],
)
def test_each_folder_may_be_absent_empty_or_ours(tmp_path, folder, mark):
    out = tmp_path / "bundle"
    assert layout.place(out) == out
    (tmp_path / folder).mkdir()
    assert layout.place(out) == out
    (tmp_path / folder / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match=f"{folder} holds something that is not"):
        layout.place(out)
    (tmp_path / folder / mark).write_text("")
    assert layout.place(out) == out


@pytest.mark.parametrize("name", ["bundle", "bundle.build", "bundle.report"])
def test_files_are_no_place(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(UsageError, match=f"{name} is there and is not a folder"):
        layout.place(tmp_path / "bundle")


@pytest.mark.parametrize("length", [300, 252])
def test_neither_are_names_too_long_for_the_folders_beside(tmp_path, length):
    with pytest.raises(UsageError, match="too long"):
        layout.place(tmp_path / ("x" * length))


def test_nor_the_root(tmp_path):
    with pytest.raises(UsageError, match="root"):
        layout.place(tmp_path / ("../" * 20))


def test_a_link_is_followed_and_a_loop_of_them_refused(tmp_path, monkeypatch):
    (tmp_path / "current").symlink_to("v3")
    assert layout.place(tmp_path / "current") == tmp_path / "v3"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match="--out"):
        layout.place(tmp_path / "loop")
    monkeypatch.chdir(tmp_path)
    assert layout.place(Path("bundle")) == tmp_path / "bundle"
