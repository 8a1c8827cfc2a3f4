"""Builds that are killed, and builds on a full disk: the bundle in sight is always whole, the same command
resumes, and what comes out is what an undisturbed build gives.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from export.build.layout import build_folder
from runtime.bundle.reader import Bundle
from tests.checkpoints import build_mini, change_weight, command, content, copy_bundle, mini_checkpoint

pytestmark = pytest.mark.timeout(1800)
MARK = "APTP_TEST_BUILD"
# Kills the build itself where it first calls the function named last, before or after the call.
AT = """
import importlib, os, signal, sys
from export.build import __main__ as build
module, name, when = sys.argv.pop(1).split(":")
owner = importlib.import_module(module)
wrapped = getattr(owner, name)
def kill(*args, **options):
    result = wrapped(*args, **options) if when == "after" else None
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, kill)
build.main(sys.argv[1:])
"""
# No file may grow beyond 64 KiB, which fails as a full disk does.
ON_A_FULL_DISK = """
import resource, sys
from export.build import __main__ as build
from runtime.cli.parser import run
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
run(lambda: build.main(sys.argv[1:]))
"""
STAGES = ("export.build.manifest_file:write_manifest:before", "runtime.files.publish:_exchange:after")
ALL_STAGES = (
    "export.build.part_store:gather:before",
    "export.build.manifest_file:write_manifest:before",
    "export.build.manifest_file:write_manifest:after",
    "runtime.files.publish:_exchange:before",
    "runtime.files.publish:_exchange:after",
    "export.build.report:write:before",
    "export.build.report:write:after",
)


def words(checkpoint: Path, out: Path) -> list[str]:
    return command(checkpoint, out, codes="0")


def start(arguments: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, MARK: str(os.getpid())}
    return subprocess.Popen(
        arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    )


def finish(arguments: list[str]) -> tuple[int, str]:
    with start(arguments) as process:
        _, said = process.communicate()
    return process.returncode, said


def build(checkpoint: Path, out: Path) -> tuple[int, str]:
    return finish([sys.executable, "-m", "export.build", *words(checkpoint, out)])


def survivors() -> list[int]:
    """Processes of this test run's builds that are still there."""
    mark, found = f"{MARK}={os.getpid()}".encode(), []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
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


@dataclass(frozen=True, slots=True)
class Change:
    """A published bundle, the checkpoint of its next version, and what an undisturbed build makes of that."""

    old: Path
    checkpoint: Path
    new: dict[str, str]
    seconds: float

    def check_after_kill(self, out: Path) -> None:
        """Nothing is left running, and what is in sight is the old bundle or the new one."""
        wait_for_children()
        Bundle.open(out).verify()
        assert content(out) in (content(self.old), self.new)

    def check_end(self, out: Path) -> None:
        """The same command again completes the build and leaves nothing lying about."""
        code, said = build(self.checkpoint, out)
        assert code == 0, said
        assert content(out) == self.new
        assert {path.name for path in out.parent.iterdir()} <= {"bundle", "bundle.report", "cache"}


@pytest.fixture(scope="module")
def change(tmp_path_factory) -> Change:
    old = build_mini(tmp_path_factory)
    checkpoint = tmp_path_factory.mktemp("changed") / "checkpoint"
    shutil.copytree(mini_checkpoint(tmp_path_factory), checkpoint)
    change_weight(checkpoint, "experts/0", 0.25)
    undisturbed = copy_bundle(old, tmp_path_factory.mktemp("new"))
    began = time.monotonic()
    assert build(checkpoint, undisturbed)[0] == 0
    return Change(old, checkpoint, content(undisturbed), time.monotonic() - began)


def kill_at_random_times(change: Change, folder: Path, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    out = copy_bundle(change.old, folder)
    for _ in range(kills):
        before = staged(out)
        with start([sys.executable, "-m", "export.build", *words(change.checkpoint, out)]) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=draw.uniform(0.1, 1.0) * change.seconds)
            process.kill()
        change.check_after_kill(out)
        now = staged(out)
        assert not now or before.items() <= now.items(), "a finished part was made again"
    change.check_end(out)


@pytest.mark.slow
def test_a_build_killed_at_random_times_resumes(change, tmp_path):
    kill_at_random_times(change, tmp_path, kills=2, seed=0)


@pytest.mark.fault
@pytest.mark.timeout(3600)
def test_a_build_killed_sixty_times_resumes(change, tmp_path):
    for seed in range(10):
        kill_at_random_times(change, tmp_path / str(seed), kills=6, seed=seed)


@pytest.mark.parametrize("stages", [STAGES, pytest.param(ALL_STAGES, marks=pytest.mark.fault)])
def test_a_build_killed_at_each_stage_of_publication_resumes(change, tmp_path, stages):
    """One bundle, killed at one stage after another; only the first run makes parts."""
    out = copy_bundle(change.old, tmp_path)
    made: dict[str, int] = {}
    for stage in stages:
        code, said = finish([sys.executable, "-c", AT, stage, *words(change.checkpoint, out)])
        assert code == -signal.SIGKILL, f"{stage}: {said}"
        change.check_after_kill(out)
        assert made.items() <= staged(out).items(), "a finished part was made again"
        made = staged(out)
    assert made
    change.check_end(out)


def test_a_full_disk_leaves_the_previous_bundle(change, tmp_path):
    out = copy_bundle(change.old, tmp_path)
    code, said = finish([sys.executable, "-c", ON_A_FULL_DISK, *words(change.checkpoint, out)])
    assert code == 1, said
    assert "no space left" in said
    assert "bytes needed" in said
    assert str(build_folder(out) / "parts") in said
    assert content(out) == content(change.old)
    assert not list(tmp_path.rglob(".*.tmp"))
