"""The command line of stage 2."""

import sys
from pathlib import Path
from typing import Any

import pytest

from aptp.checkpoint.reader import Checkpoint
from aptp.finetune import __main__ as command
from aptp.finetune import stage
from aptp.finetune.presets import PRESETS
from aptp.finetune.run import ExpertTask
from aptp.finetune.stage import RECIPE
from aptp.finetune.weights import ExpertLossWeights
from aptp.trainer.loop import RunOptions
from runtime.errors import UsageError


class Codes:
    codes = (0, 1, 2)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Record what the stage was asked for; it does nothing."""
    seen: dict[str, Any] = {}

    def finetune(task: ExpertTask, out: Path, folder: Path, options: RunOptions, **rest: Any) -> bool:
        seen.update({name: getattr(task, name) for name in task.__slots__}, options=options, **rest)
        return True

    monkeypatch.setattr(stage, "finetune", finetune)
    monkeypatch.setattr(Checkpoint, "open", lambda path: type("Made", (), {"record": Codes})())
    return seen


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["aptp.finetune", "--checkpoint", "c", "--out", "made", *words])
    return command.main()


def test_defaults(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch) == 0
    assert (asked["recipe"], asked["weights"], asked["data"]) == (RECIPE, ExpertLossWeights(), None)
    assert asked["options"].precision == "bf16"
    assert asked["codes"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "weights"), [("paper-coco", (1.0, 0.2, 0.2)), ("paper-cc3m", (0.01, 0.5, 0.5))]
)
def test_the_published_recipes(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str, weights: tuple[float, ...]
) -> None:
    assert call(monkeypatch, "--preset", name, "--data", "coco:DIR") == 0
    recipe = asked["recipe"]
    assert (recipe.steps, recipe.batch, recipe.warmup, recipe.decay) == (30_000, 256, 250, 0)
    assert recipe.rate_at(1000) == pytest.approx(1.6e-4)
    assert (recipe.average, recipe.clip, recipe.weight_decay) == (0, 0, 0)
    assert (recipe.betas, recipe.timesteps) == ((0.9, 0.999), "uniform")
    assert asked["weights"] == ExpertLossWeights(*weights, relative_blocks=False)
    assert asked["options"].precision == "no"


def test_every_choice_can_be_changed(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    words = "--preset paper-coco --train-batch 64 --ema 0.99 --relative-blocks --output 2"
    more = "--mixed-precision bf16 --train-size 256x128"
    assert call(monkeypatch, *words.split(), *more.split()) == 0
    assert asked["recipe"].rate_at(1000) == pytest.approx(8e-5)
    assert asked["recipe"].average == 0.99
    assert asked["weights"] == ExpertLossWeights(1.0, 2.0, 0.2)
    assert asked["options"].precision == "bf16"
    assert asked["train_size"] == (128, 256)


def test_a_preset_that_is_none(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="unknown preset 'paper-cco' .did you mean 'paper-coco'"):
        call(monkeypatch, "--preset", "paper-cco")
    assert set(PRESETS) == {"tiny", "paper-coco", "paper-cc3m"}
