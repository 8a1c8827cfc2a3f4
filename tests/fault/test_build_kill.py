"""Builds that are killed, and builds on a full disk (craft.md's B1, B2, B3): the bundle in sight is always
whole, the same command resumes, and what comes out is what an undisturbed build gives.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from export import publish
from export.staging import build_folder
from runtime.bundle.reader import Bundle
from tests.checkpoints import change_weight, write_mini

pytestmark = pytest.mark.timeout(600)
MARK = "APTP_TEST_BUILD"
# Kills the build itself where it first calls the function named last, before or after the call.
AT = """
import importlib, os, signal, sys
from export import build
module, name, when = sys.argv.pop(1).split(":")
owner = importlib.import_module(module)
wrapped = getattr(owner, name)
def kill(*args, **options):
    result = wrapped(*args, **options) if when == "after" else None
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, kill)
build.main(sys.argv[1:])
"""
STAGES = ("export.manifest:write_manifest:before", "export.publish:_put:after")
ALL_STAGES = (
    "export.staging:gather:before",
    "export.manifest:write_manifest:before",
    "export.manifest:write_manifest:after",
    "export.publish:_put:before",
    "export.publish:_put:after",
    "export.report:write:before",
    "export.report:write:after",
)


def words(checkpoint: Path, out: Path) -> list[str]:
    options = ["--codes", "0", "--solvers", "ddim", "--provider", "cpu", "--cache", str(out.parent / "cache")]
    return [*options, "--checkpoint", str(checkpoint), "--out", str(out)]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, MARK: "1"}
    return subprocess.Popen(
        arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    )


def finish(arguments: list[str]) -> tuple[int, str]:
    with start(arguments) as process:
        _, said = process.communicate()
    return process.returncode, said


def build(checkpoint: Path, out: Path) -> tuple[int, str]:
    return finish([sys.executable, "-m", "export.build", *words(checkpoint, out)])


def content(folder: Path) -> dict[str, str]:
    return {name: entry["sha256"] for name, entry in publish.describe(folder).items()}


def survivors() -> list[int]:
    """Processes of a build that are still there."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"{MARK}=1".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def wait_for_children() -> None:
    deadline = time.monotonic() + 30
    while survivors():
        assert time.monotonic() < deadline, f"processes {survivors()} outlive their build"
        time.sleep(0.01)


def staged(out: Path) -> dict[str, int]:
    """Finished parts and when each was made."""
    return {path.parent.name: path.stat().st_mtime_ns for path in build_folder(out).glob("parts/*/part.json")}


def check_after_kill(out: Path) -> None:
    wait_for_children()
    if out.exists():
        Bundle.open(out).verify()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_mini(tmp_path_factory.mktemp("mini") / "checkpoint")


@pytest.fixture(scope="module")
def reference(checkpoint, tmp_path_factory) -> Path:
    """The bundle of an undisturbed build, and how long that takes."""
    out = tmp_path_factory.mktemp("reference") / "bundle"
    began = time.monotonic()
    code, said = build(checkpoint, out)
    assert code == 0, said
    (out.parent / "seconds").write_text(str(time.monotonic() - began))
    return out


def check_end(out: Path, reference: Path) -> None:
    assert content(out) == content(reference)
    assert sorted(path.name for path in out.parent.iterdir()) == ["bundle", "bundle.report", "cache"]


def kill_at_random_times(checkpoint: Path, reference: Path, out: Path, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    longest = float((reference.parent / "seconds").read_text())
    for _ in range(kills):
        before = staged(out)
        with start([sys.executable, "-m", "export.build", *words(checkpoint, out)]) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=draw.uniform(0.1, 1.0) * longest)
            process.kill()
        check_after_kill(out)
        now = staged(out)
        assert not now or before.items() <= now.items(), "a finished part was made again"
    code, said = build(checkpoint, out)
    assert code == 0, said
    check_end(out, reference)


def test_a_build_killed_at_random_times_resumes(checkpoint, reference, tmp_path):
    kill_at_random_times(checkpoint, reference, tmp_path / "bundle", kills=2, seed=0)


@pytest.mark.fault
@pytest.mark.timeout(3600)
def test_a_build_killed_sixty_times_resumes(checkpoint, reference, tmp_path):
    for seed in range(10):
        kill_at_random_times(checkpoint, reference, tmp_path / str(seed) / "bundle", kills=6, seed=seed)


@pytest.mark.parametrize("stages", [STAGES, pytest.param(ALL_STAGES, marks=pytest.mark.fault)])
def test_a_build_killed_at_each_stage_of_publication_resumes(checkpoint, reference, tmp_path, stages):
    """One bundle, killed at one stage after another; only the first run makes parts."""
    out = tmp_path / "bundle"
    made: dict[str, int] = {}
    for stage in stages:
        code, said = finish([sys.executable, "-c", AT, stage, *words(checkpoint, out)])
        assert code == -signal.SIGKILL, f"{stage}: {said}"
        check_after_kill(out)
        assert made.items() <= staged(out).items(), "a finished part was made again"
        made = staged(out)
    assert made
    code, said = build(checkpoint, out)
    assert code == 0, said
    check_end(out, reference)


def test_a_full_disk_leaves_the_previous_bundle(checkpoint, reference, tmp_path):
    changed = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    change_weight(changed, "experts/0", 0.25)
    out = tmp_path / "bundle"
    shutil.copytree(reference, out)
    shutil.copytree(reference.with_name("bundle.report"), tmp_path / "bundle.report")
    limited = "import resource, sys; from export import build; from runtime.cli import run; "
    limited += "from export.errors import ExportError; "
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)); "
    limited += "run(lambda: build.main(sys.argv[1:]), (ExportError,))"
    code, said = finish([sys.executable, "-c", limited, *words(changed, out)])
    assert code == 1, said
    assert "no space left" in said
    assert "bytes needed" in said
    assert str(build_folder(out) / "parts") in said
    assert content(out) == content(reference)
    assert not list(tmp_path.rglob(".*.tmp"))
    code, said = build(changed, out)
    assert code == 0, said
    Bundle.open(out).verify()
