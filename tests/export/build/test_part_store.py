"""A staged part counts as long as its files are what its record says."""

import pytest

from export.build.part_store import describe, matches


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
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_text("two")
    files = describe(tmp_path)
    assert list(files) == ["deep/file"]
    assert matches(tmp_path, files)
    damage(tmp_path / "deep" / "file")
    assert not matches(tmp_path, files)
