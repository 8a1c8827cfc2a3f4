"""The C++ runtime in programs whose locale writes numbers in other ways."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COMMA = """\
LC_NUMERIC
decimal_point "<U002C>"
thousands_sep "<U002E>"
grouping 3;3
END LC_NUMERIC
"""


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the locale `comma`: one half is 0,5 there, and a million 1.000.000."""
    localedef = shutil.which("localedef") or "/usr/bin/localedef"
    folder = tmp_path_factory.mktemp("locales")
    source = folder / "source"
    source.write_text(COMMA)
    # It warns of every category that the source leaves out, and those are as in C.
    subprocess.run([localedef, "--force", "-i", source, folder / "comma"], capture_output=True, check=False)
    assert (folder / "comma" / "LC_NUMERIC").is_file()
    return folder


@pytest.mark.parametrize("when", ["early", "late"])
def test_a_decimal_comma_changes_nothing(
    program: Callable[[str], Path], mini: Path, cache: Path, locales: Path, tmp_path: Path, when: str
) -> None:
    # The GNU library never frees its copy of LOCPATH in newlocale: a program of one std::locale leaks it too.
    suppressions = tmp_path / "suppressions"
    suppressions.write_text("leak:__argz_add_sep\n")

    def told(locale: str) -> dict[str, Any]:
        command = [program("locale"), mini, cache, locale, when]
        env = {**os.environ, "LOCPATH": str(locales), "LSAN_OPTIONS": f"suppressions={suppressions}"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stderr[-4000:]
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    usual, comma = told("C"), told("comma")
    assert (usual.pop("half"), comma.pop("half")) == ("0.5", "0,5")
    assert comma == usual
    assert json.loads(comma["text"])["guidance"] == 2.5
    assert comma["guidance"].startswith("guidance 1000.5: give a number from 0 to 1000;")
    assert comma["deadline"] == "deadline -0.25: give a number of seconds above 0"
    assert comma["reloaded"] == ""
