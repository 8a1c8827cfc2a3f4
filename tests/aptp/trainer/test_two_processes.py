"""Two processes, in slices or not, learn what one does, and go on where it stopped: the real commands."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from aptp.checkpoint.reader import Checkpoint
from aptp.pipeline import build_pipeline
from aptp.trainer import metrics_log
from tests.checkpoints import MINI, mini_checkpoint

pytestmark = pytest.mark.timeout(600)  # four starts of a training command each

ROOT = Path(__file__).parents[3]
SCENES = ("--data", "scenes", "--train-size", "64x64")
PLAIN = (*SCENES, "--mixed-precision", "no", "--train-steps", "4", "--train-batch", "8")
# What `accelerate launch` is for several GPUs; for processors, that starts one process, or asks for MPI.
LAUNCH = ("-m", "torch.distributed.run", "--nproc-per-node")
# Sums are taken in another order, and Adam's first steps divide what is left of a gradient by its size.
LOSS, WEIGHTS = 1e-5, 1e-4


def run(words: Sequence[str], processes: int, code: int = 0) -> str:
    """Run a training command and return what it says; a launcher of several fails with 1 whatever failed."""
    several = (*LAUNCH, str(processes), "-m") if processes > 1 else ("-m",)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    found = subprocess.run(
        [sys.executable, *several, *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert found.returncode == code, found.stderr
    return found.stderr


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in metrics_log.read(out.with_name(f"{out.name}.run"))]


def in_legs(words: Sequence[str], folder: Path) -> tuple[Path, Path]:
    """Return what one process leaves, and what two, one and two leave after another."""
    alone, turns = folder / "alone", folder / "turns"
    run([*words, *PLAIN, "--out", str(alone)], 1)
    # How many rows a UNet takes at once changes nothing either.
    leg = [*words, *PLAIN, "--out", str(turns), "--slice", "3", "--minutes", "0"]
    assert "2 processes: stopped" in run(leg, 2, code=1)
    run([*words, *PLAIN, "--out", str(turns), "--minutes", "0"], 1, code=1)
    said = run([*words, *PLAIN, "--out", str(turns)], 2)
    assert said.count("is ready") == 1
    assert losses(turns) == pytest.approx(losses(alone), rel=LOSS)
    assert len(losses(turns)) == 4
    return alone, turns


def close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(other[name], one[name], rtol=WEIGHTS, atol=WEIGHTS)


@pytest.mark.parametrize("preset", ["tiny", pytest.param("paper", marks=pytest.mark.slow)])
def test_stage_1(preset: str, tmp_path: Path) -> None:
    build_pipeline(MINI, 0, torch.float32).save_pretrained(tmp_path / "dense")
    words = ["aptp.train", "--from", str(tmp_path / "dense"), "--preset", preset, "--num-codes", "4"]
    alone, turns = map(Checkpoint.open, in_legs([*words, "--set", "warm_up=2"], tmp_path))
    assert turns.architectures == alone.architectures
    close(alone.router().state_dict(), turns.router().state_dict())


def test_stage_2(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    source = mini_checkpoint(tmp_path_factory)
    words = ["aptp.finetune", "--checkpoint", str(source)]
    alone, turns = map(Checkpoint.open, in_legs(words, tmp_path))
    for code in ("0", "1"):
        close(alone.expert(code).state_dict(), turns.expert(code).state_dict())


def test_a_batch_that_cannot_be_shared(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    source = mini_checkpoint(tmp_path_factory)
    words = [
        "aptp.finetune",
        "--checkpoint",
        str(source),
        "--out",
        str(tmp_path / "out"),
        *SCENES,
        "--codes",
        "0",
        "--train-batch",
        "5",
    ]
    assert "a batch of 5 cannot be shared by 2 processes" in run(words, 2, code=1)
