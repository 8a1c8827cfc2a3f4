"""The recipe that the command line makes of a usual one."""

import argparse

from aptp.trainer.options import add_options, recipe_of
from aptp.trainer.recipe import Recipe

USUAL = Recipe(steps=2_000, batch=64, rate=1e-3, warmup=20, decay=1_000)


def recipe(*words: str) -> Recipe:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return recipe_of(parser.parse_args(words), USUAL)


def test_nothing_said_is_the_usual_recipe():
    assert recipe() == USUAL


def test_a_run_of_another_length_falls_to_rest_over_the_same_share_of_it():
    changed = recipe("--train-steps", "300", "--train-batch", "8", "--rate", "0.01")
    assert (changed.steps, changed.decay, changed.batch, changed.rate) == (300, 150, 8, 0.01)
    assert changed.rate_at(299) < 0.01 * 2 / 150
