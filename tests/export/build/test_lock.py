"""One build at a time; a dead one holds nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from export.build import lock
from export.build.lock import locked
from runtime.errors import LockedError

HOLD = """
import pathlib, sys
from export.build.lock import locked

with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    input()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_second_is_told_who_holds_it(tmp_path, holder):
    with pytest.raises(LockedError, match=f"locked by pid {holder.pid}"), locked(tmp_path / "lock"):
        pytest.fail("both hold it")


def test_death_releases_it(tmp_path, holder):
    holder.kill()
    holder.wait()
    with locked(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_it_is_released_at_the_end(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "deep" / "lock"):
            pass
        assert not (tmp_path / "deep").exists()


def test_a_lock_that_its_holder_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    path, real = tmp_path / "lock", lock._lock

    def late(file, path):
        monkeypatch.setattr(lock, "_lock", real)
        path.unlink()
        real(file, path)

    monkeypatch.setattr(lock, "_lock", late)
    with locked(path):
        assert path.read_text() == str(os.getpid())
