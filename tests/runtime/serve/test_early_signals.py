"""Signals while the server's process still imports."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# The server's program; the first of its imports that takes time brings a signal.
PROGRAM = """
import builtins, os, runpy, sys
real = builtins.__import__

def find(name, *rest, **options):
    if name == "runtime.cli.parser":
        builtins.__import__ = real
        os.kill(os.getpid(), number)
    return real(name, *rest, **options)

builtins.__import__ = find
number, sys.argv[1:] = int(sys.argv[1]), ["--help"]
runpy.run_module("runtime.serve", run_name="__main__")
"""


def run(number: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(int(number))]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_end_before_the_server_is_loaded(number: int) -> None:
    done = run(number)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_reload_before_the_server_is_loaded_changes_nothing() -> None:
    done = run(signal.SIGHUP)
    assert (done.returncode, "Serve a bundle over HTTP" in done.stdout) == (0, True)
