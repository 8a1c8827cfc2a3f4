"""Prompts of text files and tables."""

from pathlib import Path

import pytest

from runtime.cli.prompts import read_prompts
from runtime.errors import UsageError


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("prompts.txt", 'a red circle\n \n"two", stars\r\n'),
        ("prompts.tsv", 'Category\tPrompt\nx\ta red circle\ny\t"two", stars\nshort\n'),
        ("prompts.csv", 'id,caption\n1,a red circle\n2,"""two"", stars"\n'),
        ("marked.tsv", '\ufefftext\na red circle\n"two", stars\n'),
    ],
)
def test_what_is_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_prompts(tmp_path / name) == ["a red circle", '"two", stars']


def test_spaces_stay_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("  red\t \n")
    assert read_prompts(tmp_path / "prompts.txt") == ["  red\t "]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("none.txt", None, "cannot be read"),
        ("latin.txt", b"caf\xe9", "cannot be read as UTF-8"),
        ("empty.txt", b"\n \n", "holds no prompts"),
        ("empty.tsv", b"", "no column named prompt, caption, text"),
        ("other.tsv", b"Promt\tid\nred\t1\n", "its first line has 'Promt, id'"),
        ("head.csv", b"prompt\n", "holds no prompts"),
        ("quote.csv", b'prompt\n"' + b"x" * 200_000, "is no table"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=message):
        read_prompts(tmp_path / name)
