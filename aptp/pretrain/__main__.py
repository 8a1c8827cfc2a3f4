"""`python -m aptp.pretrain`: the dense pipeline of the default, from nothing but the scene renderer.

Three runs one after another (VAE, text encoder, UNet), each resumable; owns the command line alone.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from rich.console import Console

from aptp.cli import Parser, quieten, run

DESCRIPTION = "Train the small default pipeline on rendered scenes: VAE, text encoder, UNet."


def _arguments() -> argparse.Namespace:
    parser = Parser(prog="python -m aptp.pretrain", description=DESCRIPTION)
    parser.add_argument("--preset", default="tiny", help="geometry to train; scenes fit 'tiny' alone")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the pipeline folder to make")
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="resume states and records; <out>.run unless given"
    )
    parser.add_argument("--steps", type=int, help="of the UNet's run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop after so long; the same command goes on"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that render ahead")
    parser.add_argument("--precision", default="bf16", choices=("bf16", "no"), help="of autocast")
    parser.add_argument("--tensorboard", action="store_true", help="also record for TensorBoard")
    arguments: argparse.Namespace = parser.parse_args()
    return arguments


def main() -> int:
    arguments = _arguments()
    console = Console(stderr=True)
    quieten()
    from aptp.pretrain.pipeline import pretrain
    from aptp.training.loop import Leg

    leg = Leg(
        minutes=arguments.minutes,
        workers=arguments.workers,
        precision=arguments.precision,
        tensorboard=arguments.tensorboard,
    )
    folder = arguments.run or arguments.out.with_name(arguments.out.name + ".run")
    if not pretrain(arguments.preset, arguments.out, folder, leg, arguments.steps, arguments.seed):
        return 1
    console.print(
        f"{arguments.out} is ready; next: python -m aptp.train --from {arguments.out} --out checkpoint",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    run(main)
