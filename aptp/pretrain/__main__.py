"""`python -m aptp.pretrain`: train the default's dense pipeline on rendered scenes.

Three runs one after another (VAE, text encoder, UNet), each resumable; owns the command line alone. What is
learned can be changed for the UNet; the two small runs before it are fixed.
"""

import argparse
from pathlib import Path

from runtime.cli.parser import Parser, run
from runtime.cli.terminal import open_console, quieten

DESCRIPTION = "Train the small default pipeline on rendered scenes: VAE, text encoder, UNet."


def _arguments() -> argparse.Namespace:
    from aptp.trainer.options import add_options

    parser = Parser(prog="python -m aptp.pretrain", extra="train", description=DESCRIPTION)
    parser.add_argument("--preset", default="tiny", help="geometry to train; scenes fit 'tiny' alone")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the pipeline folder to make")
    add_options(parser, draws=True)
    arguments: argparse.Namespace = parser.parse_args()
    return arguments


def main() -> int:
    arguments = _arguments()
    terminal = open_console()
    quieten()
    from aptp.pretrain import denoiser
    from aptp.pretrain.pipeline import pretrain
    from aptp.trainer.options import recipe_of, run_folder, run_options

    recipe = recipe_of(arguments, denoiser.RECIPE)
    if not pretrain(arguments.preset, arguments.out, run_folder(arguments), run_options(arguments), recipe):
        return 1
    terminal.print(
        f"{arguments.out} is ready; next: python -m aptp.train --from {arguments.out} --out checkpoint",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    run(main)
