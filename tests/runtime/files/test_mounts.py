"""A mount is known before any work is done: no rename replaces it."""

import subprocess
import sys
from pathlib import Path

import pytest

from runtime.errors import UsageError
from runtime.files import mounts, publish
from runtime.files.mounts import is_mount

ROOT = Path(__file__).resolve().parents[3]

# Mounts a folder and a file, in a namespace of its own, and says how each door answers.
TRY = """
import subprocess, sys
from pathlib import Path
from export.build import layout
from aptp.checkpoint import publishing
from runtime.errors import AptpError
from runtime.files import publish

work = Path(sys.argv[1])
(work / "a b").mkdir()
(work / "other").mkdir()
(work / "file").touch()
subprocess.run(["mount", "--bind", work / "other", work / "a b"], check=True)
subprocess.run(["mount", "--bind", "/proc/self/status", work / "file"], check=True)
def tried(what):
    try:
        what()
        print("taken")
    except (AptpError, OSError) as error:
        print(error)
tried(lambda: layout.place(work / "a b"))
tried(lambda: publishing.check_target(work / "a b"))
tried(lambda: publish.publishing(work / "a b").__enter__())
tried(lambda: publish.write_file(work / "file", "text"))
tried(lambda: layout.place(work / "a b" / "bundle"))
"""


def table(tmp_path: Path, *places: str) -> Path:
    lines = [f"36 35 98:0 /mnt1 {place} rw,noatime master:1 - ext3 /dev/root rw" for place in places]
    path = tmp_path / "mountinfo"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_mount_is_known_by_its_own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a b"
    monkeypatch.setattr(mounts, "_TABLE", table(tmp_path, "/", str(place).replace(" ", r"\040")))
    assert is_mount(place)
    assert is_mount(tmp_path / "." / "a b")
    assert not is_mount(place / "inside")
    assert not is_mount(tmp_path)
    (tmp_path / "link").symlink_to(place)
    assert not is_mount(tmp_path / "link")


def test_elsewhere_the_file_system_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mounts, "_TABLE", tmp_path / "none")
    assert is_mount(Path("/"))
    assert not is_mount(tmp_path)


def test_nothing_is_written_to_a_mount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mounts, "_TABLE", table(tmp_path, str(tmp_path / "a"), str(tmp_path / "b")))
    (tmp_path / "a").write_text("theirs")
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError, match="is a mount, which cannot be replaced; name a place inside it"):
        publish.write_file(tmp_path / "a", "mine")
    with pytest.raises(OSError, match="is a mount"), publish.publishing(tmp_path / "b"):
        pytest.fail("it was opened")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "mountinfo"]


def test_a_build_knows_it_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from export.build import __main__ as exporter

    for name in ("bundle", "bundle.report"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(mounts, "_TABLE", table(tmp_path, str(tmp_path / name)))
        message = f"--out {tmp_path / name}: is a mount, which cannot be replaced; name a place inside it"
        with pytest.raises(UsageError, match=message):
            exporter.main(["--codes", "0", "--out", str(tmp_path / "bundle")])
        (tmp_path / name).rmdir()


def test_real_mounts(tmp_path: Path) -> None:
    unshare = ["unshare", "--mount", "--map-root-user", sys.executable, "-c", TRY, str(tmp_path)]
    try:
        done = subprocess.run(unshare, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode and ("unshare:" in done.stderr or "mount:" in done.stderr):
        pytest.skip(f"nothing can be mounted here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    *refused, taken = done.stdout.splitlines()
    assert len(refused) == 4
    assert all("is a mount, which cannot be replaced; name a place inside it" in line for line in refused)
    assert taken == "taken"
