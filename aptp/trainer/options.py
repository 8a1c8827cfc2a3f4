"""The options of every training command: length, rate, and this session's limits."""

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aptp.trainer.recipe import OPTIMIZERS, Recipe

if TYPE_CHECKING:
    from aptp.trainer.loop import RunOptions


def add_options(parser: argparse.ArgumentParser, *, draws: bool = False) -> None:
    """Add the options that training commands share. `draws`: its learners can draw pictures."""
    recipe = parser.add_argument_group("what is learned")
    recipe.add_argument("--train-steps", dest="steps", type=int, help="of the whole run")
    recipe.add_argument("--train-batch", dest="batch", type=int, help="samples per step, of each expert")
    recipe.add_argument("--rate", type=float, help="learning rate")
    recipe.add_argument("--seed", type=int, default=0)
    recipe.add_argument("--optimizer", choices=OPTIMIZERS, help="with moments in 32 bits (adamw), or in 8")
    group = parser.add_argument_group("how it is run")
    group.add_argument("--run", type=Path, metavar="DIR", help="resume state and record (<out>.run)")
    group.add_argument("--minutes", type=float, default=math.inf, help="stop then; the same command goes on")
    group.add_argument("--workers", type=int, default=0, help="processes that load data ahead")
    group.add_argument(
        "--mixed-precision", dest="precision", default="bf16", choices=("bf16", "no"), help="of autocast"
    )
    group.add_argument("--save-every", type=float, default=300, metavar="SECONDS", help="resume states")
    group.add_argument(
        "--validate-every", type=int, default=0, metavar="STEPS", help="measure the held-out loss (0: never)"
    )
    if draws:
        group.add_argument(
            "--draw-every", type=int, default=0, metavar="STEPS", help="draw held-out captions (0: never)"
        )
    group.add_argument(
        "--tracker",
        dest="trackers",
        action="append",
        default=[],
        metavar="NAME",
        help="also record for tensorboard, wandb or trackio; may be given several times",
    )
    group.add_argument("--plot", action="store_true", help="draw curves.png beside the record")


def recipe_of(arguments: argparse.Namespace, usual: Recipe) -> Recipe:
    """`usual` with what the command line changes; a run of another length falls to rest over the same share
    of it. Raises UsageError for what makes no sense.
    """
    if arguments.steps:
        usual = replace(usual, decay=round(usual.decay * arguments.steps / usual.steps))
    asked = {name: getattr(arguments, name) for name in ("steps", "batch", "rate", "seed", "optimizer")}
    return replace(usual, **{name: value for name, value in asked.items() if value is not None})


def run_options(arguments: argparse.Namespace) -> "RunOptions":
    from aptp.trainer.loop import RunOptions

    return RunOptions(
        minutes=arguments.minutes,
        workers=arguments.workers,
        precision=arguments.precision,
        save_every=arguments.save_every,
        trackers=tuple(arguments.trackers),
        validate_every=arguments.validate_every,
        draw_every=getattr(arguments, "draw_every", 0),
        plot=arguments.plot,
    )


def run_folder(arguments: argparse.Namespace) -> Path:
    folder: Path = arguments.run or arguments.out.with_name(arguments.out.name + ".run")
    return folder
