"""Training commands that are killed at random steps: the same command goes on, and what comes out is what an
undisturbed run gives, to the bit.
"""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aptp.trainer import metrics_log
from tests.aptp.data.datasets import folder
from tests.checkpoints import mini_checkpoint

STEPS, KILLS = 40, 3
TIMINGS = {"seconds", "waiting"}

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    pictures = tmp_path_factory.mktemp("pictures")
    folder(pictures, 48)
    return f"folder:{pictures}"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return mini_checkpoint(tmp_path_factory)


def words(command: str, checkpoint: Path, data: str, out: Path) -> list[str]:
    source = "--from" if command == "train" else "--checkpoint"
    run = [
        "--data",
        data,
        "--train-steps",
        str(STEPS),
        "--train-batch",
        "8",
        "--save-every",
        "0.3",
        "--mixed-precision",
        "no",
    ]
    return [sys.executable, "-m", f"aptp.{command}", source, str(checkpoint), "--out", str(out), *run]


def recorded(out: Path) -> int:
    path = out.with_name(out.name + ".run") / metrics_log.NAME
    return path.read_bytes().count(b"\n") if path.exists() else 0


def killed_at(step: int, arguments: list[str], out: Path) -> bool:
    """Whether the command was killed once `step` steps are recorded, and not finished before."""
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and recorded(out) < step:
            time.sleep(0.002)
        running = process.poll() is None
        process.kill()
    return running


def outcome(out: Path) -> tuple[list[dict[str, float]], dict[str, bytes], dict[str, object]]:
    """The record without its timings, every file but the two that tell them, and the codes."""
    record = [
        {name: value for name, value in line.items() if name not in TIMINGS}
        for line in metrics_log.read(out.with_name(out.name + ".run"))
    ]
    files = {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and not path.name.startswith("aptp.")
    }
    return record, files, json.loads((out / "aptp.json").read_bytes())["codes"]


@pytest.mark.parametrize("command", ["train", "finetune"])
def test_a_run_killed_at_random_steps_ends_as_an_undisturbed_one(checkpoint, data, tmp_path, command):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(words(command, checkpoint, data, whole), check=True)
    draw, kills = random.Random(0), 0
    for step in sorted(draw.sample(range(1, STEPS), KILLS)):
        kills += killed_at(step, words(command, checkpoint, data, broken), broken)
        assert not broken.exists()
    assert kills == KILLS
    subprocess.run(words(command, checkpoint, data, broken), check=True)
    assert outcome(broken) == outcome(whole)
    assert len(outcome(whole)[0]) == STEPS
