"""The command line of stage 1."""

import sys
from pathlib import Path
from typing import Any

import pytest

from aptp.train import __main__ as command
from aptp.train import stage
from aptp.train.method import PRESETS, RECIPES
from aptp.train.router_fit import Usage
from aptp.train.run import RouterTask
from runtime.cli.parser import run

FOUND = Usage(use=(0.5, 0.5), costs=(0.4, 0.8), budget=0.6, agreement=1.0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Record what the stage was asked for; it does nothing."""
    seen: dict[str, Any] = {"answer": FOUND}

    def train(task: RouterTask, out: Path, folder: Path, options: Any, **rest: Any) -> Usage | None:
        seen.update(task=task, out=out, folder=folder, options=options, **rest)
        return seen["answer"]

    monkeypatch.setattr(stage, "train", train)
    return seen


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["aptp.train", "--from", "dense", "--out", "made", *words])
    with pytest.raises(SystemExit) as stop:
        run(command.main)
    return int(stop.value.code or 0)


def test_defaults(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch) == 0
    assert asked["task"] == RouterTask(Path("dense"), None, PRESETS["tiny"], RECIPES["tiny"])
    assert (asked["out"], asked["folder"]) == (Path("made"), Path("made.run"))
    said = capsys.readouterr().err
    assert "0.6000 of dense MACs" in said
    assert "100.0%" in said
    assert "python -m aptp.finetune --checkpoint made" in said


def test_changes(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    words = "--preset paper --num-codes 6 --budget 0.7 --set hard=true --set weights.contrast=5 --size 64x32"
    assert (
        call(monkeypatch, *words.split(), "--train-steps", "50", "--seed", "3", "--recompute", "--slice", "4")
        == 0
    )
    task = asked["task"]
    assert (task.method.codes, task.method.budget, task.method.hard) == (6, 0.7, True)
    assert task.method.weights.contrast == 5
    assert task.size == (32, 64)
    assert (task.recipe.steps, task.recipe.seed, task.recipe.batch) == (50, 3, 128)
    assert (asked["recompute"], asked["at_once"]) == (True, 4)


def test_what_stage_2_has_to_be_told_as_well(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "--data folder:mine --size 768x512 --train-size 256x128 --latents cache"
    assert call(monkeypatch, *words.split()) == 0
    assert (asked["task"].size, asked["task"].train_size) == ((512, 768), (128, 256))
    said = capsys.readouterr().err
    assert (
        "--checkpoint made --codes all --data folder:mine --train-size 256x128 --latents cache --out" in said
    )


def test_a_budget_in_seconds(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--cost", "profile.json") == 0
    assert asked["task"].cost == Path("profile.json")
    assert "0.6000 of dense seconds, by profile.json" in capsys.readouterr().err


def test_an_encoder_of_its_own(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "--prompt-encoder", "mpnet", "--preset", "paper") == 0
    assert asked["task"].prompt_encoder == Path("mpnet")


def test_a_shorter_run_falls_to_rest_over_the_same_share(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(monkeypatch, "--train-steps", "100")
    assert asked["task"].recipe.decay == 50


def test_a_leg_that_ended_first(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked["answer"] = None
    assert call(monkeypatch, "--minutes", "1") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "papre"], "did you mean 'paper'"),
        (["--set", "hrad=true"], "did you mean 'hard'"),
        (["--num-codes", "many"], "codes=many: it must be a int"),
        (["--budget", "2"], "budget 2.0 is not in"),
        (["--size", "64"], "argument --size: '64': give WIDTHxHEIGHT"),
        (["--size", "0x64"], "'0x64': give WIDTHxHEIGHT"),
        (["--guidance", "-1"], "guidance -1.0: give a number from 0"),
        (["--train-steps", "0"], "steps is 0"),
        (["--slice", "0"], "argument --slice: '0': give an integer from 1"),
        (["--timesteps", "serving"], "timesteps 'serving': give stratified, uniform, or serving:STEPS"),
    ],
)
def test_mistakes(
    asked: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    assert call(monkeypatch, *words) == 2
    assert message in capsys.readouterr().err
    assert "task" not in asked
