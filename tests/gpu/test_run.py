"""`make gpu` stops at the first command that fails, however it died. Needs no GPU."""

import sys
from pathlib import Path

import pytest

from tests.gpu.run import run

KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize(("first", "result"), [("pass", 0), ("exit(3)", 1), (KILLED, 1)])
def test_the_first_failure_is_the_last_command(first: str, result: int, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    second = f"open({str(mark)!r}, 'w')"
    assert run([[sys.executable, "-c", code] for code in (first, second)]) == result
    assert mark.exists() == (result == 0)
