"""The options of every training command: the recipe, and this session's limits."""

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aptp.trainer.fields import add_fields, changed
from aptp.trainer.recipe import Recipe
from runtime.cli.values import whole

if TYPE_CHECKING:
    from aptp.trainer.loop import RunOptions


def add_options(parser: argparse.ArgumentParser, *, draws: bool = False) -> None:
    """Add the options that training commands share. `draws`: its learners can draw pictures."""
    add_fields(parser.add_argument_group("what is learned (defaults: the preset's)"), Recipe)
    group = parser.add_argument_group("how it is run")
    group.add_argument("--run", type=Path, metavar="DIR", help="resume state and record (<out>.run)")
    group.add_argument("--minutes", type=float, default=math.inf, help="stop then; the same command goes on")
    group.add_argument("--workers", type=int, default=0, help="processes that load data ahead")
    group.add_argument(
        "--mixed-precision",
        dest="precision",
        choices=("bf16", "fp16", "no"),
        help="of autocast (the preset's)",
    )
    group.add_argument("--save-every", type=float, default=300, metavar="SECONDS", help="resume states")
    group.add_argument("--keep-states", type=int, default=2, metavar="N", help="so many, the newest ones")
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


def add_memory(parser: argparse.ArgumentParser) -> None:
    """Add the options that trade time for memory, and change nothing of the result but its rounding."""
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing: less memory")
    parser.add_argument(
        "--slice",
        dest="at_once",
        type=rows,
        metavar="ROWS",
        help="that UNet and VAE take at a time: less memory, the same batch (all of a process's share)",
    )


def rows(text: str) -> int:
    """Read a number of rows, from 1. Raises `ArgumentTypeError`."""
    if not (found := whole(text)):
        raise argparse.ArgumentTypeError(f"{text!r}: give an integer from 1")
    return found


def recipe_of(arguments: argparse.Namespace, usual: Recipe) -> Recipe:
    """`usual` with what the command line changes; a run of another length falls to rest over the same share
    of it. Raises UsageError for what makes no sense.
    """
    if arguments.steps:
        usual = replace(usual, decay=round(usual.decay * arguments.steps / usual.steps))
    return changed(usual, arguments)


def run_options(arguments: argparse.Namespace, precision: str = "bf16") -> "RunOptions":
    """Return the options of this session; `precision` where the command line says none."""
    from aptp.trainer.loop import RunOptions

    return RunOptions(
        minutes=arguments.minutes,
        workers=arguments.workers,
        precision=arguments.precision or precision,
        save_every=arguments.save_every,
        keep_states=arguments.keep_states,
        trackers=tuple(arguments.trackers),
        validate_every=arguments.validate_every,
        draw_every=getattr(arguments, "draw_every", 0),
        plot=arguments.plot,
    )


def run_folder(arguments: argparse.Namespace) -> Path:
    folder: Path = arguments.run or arguments.out.with_name(arguments.out.name + ".run")
    return folder
