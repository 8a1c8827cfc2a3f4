"""Stage 1 on a folder of captioned pictures, by its command line, and stage 2 after it."""

import sys
from pathlib import Path

import pytest

from aptp.checkpoint.reader import Checkpoint
from aptp.finetune import __main__ as finetuning
from aptp.train import __main__ as training
from aptp.train import publish, stage
from aptp.trainer import metrics_log
from tests.aptp.data.datasets import NOT_A_PICTURE, folder, put

SHORT = "--train-steps 2 --train-batch 4 --mixed-precision no"


@pytest.fixture(autouse=True)
def few_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "CENTRING", 8)
    monkeypatch.setattr(publish, "PRICING", 64)
    monkeypatch.setattr(publish, "HELD_OUT", 8)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Forty pairs, one broken."""
    root = tmp_path / "pictures"
    folder(root, 40)
    put(root / "some" / "007.jpg", NOT_A_PICTURE)
    return root


def call(command, monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["aptp", *map(str, words)])
    return int(command.main())


def test_both_stages(dense: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    routed, tuned = tmp_path / "routed", tmp_path / "tuned"
    words = ["--data", f"folder:{pictures}", *SHORT.split()]
    assert call(training, monkeypatch, "--from", dense, "--out", routed, "--set", "warm_up=1", *words) == 0
    assert len(metrics_log.read(tmp_path / "routed.run")) == 2
    assert call(finetuning, monkeypatch, "--checkpoint", routed, "--out", tuned, *words) == 0
    made = Checkpoint.open(tuned)
    made.verify()
    told = made.record.provenance
    assert told["data"] == told["from"]["data"]
    assert (told["data"]["name"], told["data"]["pairs"] >= 38) == ("folder", True)
    assert str(tmp_path) not in str(told)


def test_a_run_does_not_go_on_with_other_pictures(
    dense: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--from", dense, "--out", tmp_path / "routed", "--data", f"folder:{pictures}", *SHORT.split()]
    assert call(training, monkeypatch, *words, "--minutes", "0") == 1
    (pictures / "some" / "001.txt").write_text("another caption\n")
    with pytest.raises(ValueError, match="belongs to another run: data was"):
        call(training, monkeypatch, *words)
