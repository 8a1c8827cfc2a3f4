"""Every attack is held off, and stands in the README."""

import re
from pathlib import Path

import pytest

from tests.attacks.__main__ import main
from tests.attacks.attack import Attack, GotThrough
from tests.attacks.catalogue import ATTACKS


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_held_off(name: str, tmp_path: Path) -> None:
    assert ATTACKS[name].run(tmp_path)


def test_the_readme_lists_them() -> None:
    text = Path(__file__).with_name("README.md").read_text()
    listed = re.findall(r"^\| `([a-z-]+)` \| (.*?) \| (.*?) \|", text, re.MULTILINE)
    assert listed == [(one.name, one.needs, one.gains) for one in ATTACKS.values()]


def test_one_that_gets_through_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(work: Path) -> str:
        raise GotThrough("it is in")

    monkeypatch.setitem(ATTACKS, "mine", Attack("mine", "nothing", "everything", run))
    assert main(["mine"]) == 1
    assert capsys.readouterr().out == "GOT THROUGH  mine: it is in\n"
