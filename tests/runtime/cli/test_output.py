"""Results on standard output whose reader has left, or was never there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.cli.output import put

ROOT = Path(__file__).resolve().parents[3]
COMMAND = """
import sys
from runtime.cli.output import put
from runtime.cli.parser import run

def main():
    put("x" * 100_000)
    put("more")
    sys.stderr.write("done\\n")
    return 4

run(main)
"""


def ended(**streams: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", COMMAND], cwd=ROOT, text=True, timeout=60, **streams)  # type: ignore[call-overload]


def test_a_line_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    put("some\nlines")
    assert capsys.readouterr().out == "some\nlines\n"


def test_a_reader_that_has_left_takes_nothing_with_it() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = ended(stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (4, "done\n")


@pytest.mark.parametrize("closed", [1, 2])
def test_a_stream_may_be_closed_from_the_start(closed: int) -> None:
    done = ended(capture_output=True, preexec_fn=lambda: os.close(closed))
    assert done.returncode == 4
    assert done.stderr == ("done\n" if closed == 1 else "")


def test_an_output_that_takes_nothing_is_an_error() -> None:
    with open("/dev/full", "w") as full:
        done = ended(stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (
        1,
        "error: standard output: No space left on device; send it elsewhere\n",
    )
