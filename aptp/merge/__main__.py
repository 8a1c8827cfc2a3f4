"""`python -m aptp.merge`: one checkpoint of experts that were tuned in several runs."""

import argparse
from pathlib import Path

from runtime.cli.parser import Parser, run
from runtime.cli.terminal import open_console, quieten, say

DESCRIPTION = "Merge checkpoints whose experts were tuned apart, from the same checkpoint."


def _arguments() -> argparse.Namespace:
    parser = Parser(prog="python -m aptp.merge", extra="build", description=DESCRIPTION)
    parser.add_argument(
        "checkpoints",
        type=Path,
        nargs="+",
        metavar="CHECKPOINT",
        help="what aptp.finetune made, of some codes",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint to make")
    arguments: argparse.Namespace = parser.parse_args()
    return arguments


def main() -> int:
    arguments = _arguments()
    terminal = open_console()
    with terminal.status("starting"):
        quieten()
        from aptp.checkpoint.reader import Checkpoint
        from aptp.merge.merge import merge

        checkpoints = [Checkpoint.open(path) for path in arguments.checkpoints]
    untuned = merge(checkpoints, arguments.out)
    if untuned:
        codes = ", ".join(map(str, untuned))
        say(terminal, f"tuned in none of them, and as the checkpoint they began with has them: codes {codes}")
    ready = f"{arguments.out} is ready; next: python -m export.build --checkpoint {arguments.out} --codes all"
    say(terminal, ready)
    return 0


if __name__ == "__main__":
    run(main)
