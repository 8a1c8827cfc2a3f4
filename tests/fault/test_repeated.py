"""Tests of what depends on time and threads, twenty times in a row: none may fail now and then."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMES = 20
TESTS = (
    "tests/fault/test_service_overload.py",
    "tests/fault/test_service_ends.py",
    "tests/fault/test_service_http.py",
    "tests/runtime/service/test_dispatcher.py",
)


@pytest.mark.fault
@pytest.mark.timeout(600)
@pytest.mark.parametrize("time", range(TIMES))
def test_once_more(time: int) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not fault", *TESTS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
