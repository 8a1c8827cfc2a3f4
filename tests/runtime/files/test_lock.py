"""One build at a time; a dead one holds nothing."""

import fcntl
import os
import subprocess
import sys
import threading
import time

import pytest

from runtime.errors import LockedError
from runtime.files import lock
from runtime.files.lock import locked

HOLD = """
import pathlib, sys
from runtime.files.lock import locked

with locked(pathlib.Path(sys.argv[1]), "wait"):
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
    with (
        pytest.raises(LockedError, match=f"locked by pid {holder.pid}; wait"),
        locked(tmp_path / "lock", "wait"),
    ):
        pytest.fail("both hold it")


def test_death_releases_it(tmp_path, holder):
    holder.kill()
    holder.wait()
    with locked(tmp_path / "lock", "wait"):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_it_is_released_at_the_end(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "deep" / "lock", "wait"):
            pass
        assert list((tmp_path / "deep").iterdir()) == []


def test_a_lock_that_its_holder_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    path, real = tmp_path / "lock", lock._lock

    def late(descriptor, path, *rest):
        monkeypatch.setattr(lock, "_lock", real)
        path.unlink()
        real(descriptor, path, *rest)

    monkeypatch.setattr(lock, "_lock", late)
    with locked(path, "wait"):
        assert path.read_text() == str(os.getpid())


def test_it_is_waited_for_and_not_for_ever(tmp_path, holder):
    start = time.monotonic()
    with pytest.raises(LockedError), locked(tmp_path / "lock", "wait", seconds=0.3):
        pytest.fail("both hold it")
    assert 0.3 <= time.monotonic() - start < 10
    threading.Timer(0.3, lambda: holder.stdin.write("\n") and holder.stdin.flush()).start()
    with locked(tmp_path / "lock", "wait", seconds=60):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_nobody_else_may_open_it(tmp_path):
    (tmp_path / "lock").touch(mode=0o666)
    with locked(tmp_path / "lock", "wait", keep=True):
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "lock").exists()


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / "lock", "wait"):
        pytest.fail("it was held")
    assert not (tmp_path / "precious").exists()


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, message in (("pipe", "not a regular file"), ("folder", "directory")):
        with pytest.raises(OSError, match=message), locked(tmp_path / name, "wait", seconds=60):
            pytest.fail("it was held")


def test_a_holder_that_wrote_no_name_is_named(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    with path.open("rb") as held:  # reading is enough to hold it
        fcntl.flock(held, fcntl.LOCK_EX)
        with (
            pytest.raises(LockedError, match=f"locked by pid {os.getpid()}, 1 s waited; wait"),
            locked(path, "wait", seconds=1),
        ):
            pytest.fail("both hold it")


def test_without_the_systems_word_the_file_names_its_holder(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(lock, "_LOCKS", tmp_path / "none")
    with (
        pytest.raises(LockedError, match=f"locked by pid {holder.pid}; wait"),
        locked(tmp_path / "lock", "wait"),
    ):
        pytest.fail("both hold it")


def test_a_long_wait_is_told(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(lock, "_QUIET", 0.1)
    with (
        pytest.warns(UserWarning, match=f"waiting for pid {holder.pid}, which holds it, at most 1 s") as told,
        pytest.raises(LockedError),
        locked(tmp_path / "lock", "wait", seconds=1),
    ):
        pytest.fail("both hold it")
    assert len(told) == 1


def test_a_group_may_share_it(tmp_path):
    old = os.umask(0o077)
    try:
        with locked(tmp_path / "lock", "wait", keep=True, mode=0o660):
            assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o660
    finally:
        os.umask(old)
