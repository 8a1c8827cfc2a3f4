"""The recipe that the command line makes of a usual one."""

import argparse
from dataclasses import fields

import pytest

from aptp.finetune.weights import ExpertLossWeights
from aptp.trainer.fields import add_fields, changed
from aptp.trainer.options import add_options, recipe_of, run_options
from aptp.trainer.recipe import Recipe

USUAL = Recipe(steps=2_000, batch=64, rate=1e-3, warmup=20, decay=1_000)
OTHER = Recipe(50, 8, 0.5, "sqrt", 7, 3, 0.0, (0.5, 0.75), 0.1, "adamw8bit", 0.9, "uniform", 4)
WORDS = {
    "steps": "50",
    "batch": "8",
    "rate": "0.5",
    "scaling": "sqrt",
    "warmup": "7",
    "decay": "3",
    "clip": "0",
    "betas": "0.5,0.75",
    "weight_decay": "0.1",
    "optimizer": "adamw8bit",
    "average": "0.9",
    "timesteps": "uniform",
    "seed": "4",
}


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(words)


def recipe(*words: str) -> Recipe:
    return recipe_of(parsed(*words), USUAL)


def test_nothing_said_is_the_usual_recipe():
    assert recipe() == USUAL


def test_every_field_has_an_option_and_a_place_in_the_identity():
    words = [word for each in fields(Recipe) for word in (each.metadata["option"], WORDS[each.name])]
    assert recipe(*words) == OTHER
    assert recipe(*words).identity().keys() == WORDS.keys()


def test_flags_can_be_said_and_unsaid():
    parser = argparse.ArgumentParser()
    add_fields(parser, ExpertLossWeights)
    usual = ExpertLossWeights()
    assert changed(usual, parser.parse_args([])) == usual
    asked = parser.parse_args(["--no-relative-blocks", "--output", "0.5"])
    assert changed(usual, asked) == ExpertLossWeights(0.3, 0.5, 0.2, relative_blocks=False)


def test_betas_are_a_pair(capsys):
    with pytest.raises(SystemExit):
        recipe("--betas", "0.9")
    assert "give two numbers, such as 0.9,0.999" in capsys.readouterr().err


def test_the_precision_is_the_presets_unless_it_is_said():
    assert run_options(parsed("--run", "r"), "no").precision == "no"
    assert run_options(parsed("--mixed-precision", "bf16"), "no").precision == "bf16"


def test_a_run_of_another_length_falls_to_rest_over_the_same_share_of_it():
    changed = recipe("--train-steps", "300", "--train-batch", "8", "--rate", "0.01")
    assert (changed.steps, changed.decay, changed.batch, changed.rate) == (300, 150, 8, 0.01)
    assert changed.rate_at(299) < 0.01 * 2 / 150
