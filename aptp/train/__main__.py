"""`python -m aptp.train`: stage 1, the router and the codes of a pipeline; owns the command line alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from aptp.data.option import add_data
from runtime.cli.parser import Parser, run
from runtime.cli.terminal import open_console, quieten, say
from runtime.errors import UsageError

if TYPE_CHECKING:
    from aptp.train.router_fit import Usage

DESCRIPTION = "Learn which parts of a dense pipeline a prompt can do without: a router and K codes."


def _arguments() -> argparse.Namespace:
    from aptp.checkpoint.record import GUIDANCE
    from aptp.trainer.options import add_options

    parser = Parser(prog="python -m aptp.train", description=DESCRIPTION)
    parser.add_argument(
        "--from", dest="source", type=Path, required=True, metavar="DIR", help="a local diffusers folder"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint to make")
    parser.add_argument("--preset", default="tiny", help="the method: tiny (ours) or paper (as published)")
    parser.add_argument("--codes", metavar="K", help="how many codes")
    parser.add_argument("--budget", metavar="P", help="mean share of the dense cost")
    parser.add_argument(
        "--cost", type=Path, metavar="FILE", help="a profile, to count seconds of a machine instead of MACs"
    )
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], metavar="NAME=VALUE", help="of the method"
    )
    parser.add_argument("--size", metavar="HxW", help="pixels the budget holds at (the pipeline's own)")
    parser.add_argument(
        "--guidance", type=float, default=GUIDANCE, metavar="G", help="that images are drawn with by default"
    )
    add_data(parser)
    parser.add_argument(
        "--prompt-encoder",
        type=Path,
        metavar="DIR",
        help="route by this transformers encoder (all-mpnet-base-v2, say), not by the pipeline's own",
    )
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing: less memory")
    add_options(parser)
    arguments: argparse.Namespace = parser.parse_args()
    for name in ("codes", "budget"):
        if getattr(arguments, name) is not None:
            arguments.changes.append(f"{name}={getattr(arguments, name)}")
    return arguments


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        height, width = (int(side) for side in text.split("x"))
    except ValueError as error:
        raise UsageError(f"--size '{text}' is not HxW in pixels, such as 512x512") from error
    if min(height, width) < 1:
        raise UsageError(f"--size '{text}': both sides must be at least 1 pixel")
    return height, width


def main() -> int:
    arguments = _arguments()
    terminal = open_console()
    with terminal.status("starting"):
        quieten()
        from aptp.train.method import RECIPES, method
        from aptp.train.stage import RouterTask, train
        from aptp.trainer.options import leg_of, recipe_of, run_folder

    task = RouterTask(
        arguments.source,
        arguments.data,
        method(arguments.preset, arguments.changes),
        recipe_of(arguments, RECIPES[arguments.preset]),
        _size(arguments.size),
        arguments.guidance,
        arguments.cost,
        arguments.prompt_encoder,
    )
    found = train(
        task, arguments.out, run_folder(arguments), leg_of(arguments), recompute=arguments.recompute
    )
    if found is None:
        return 1
    _report(terminal, arguments.out, found, f"seconds, by {arguments.cost}" if arguments.cost else "MACs")
    return 0


def _report(terminal: Console, out: Path, found: Usage, unit: str) -> None:
    table = Table("code", "of dense", "of held-out prompts")
    for code, (cost, share) in enumerate(zip(found.costs, found.use, strict=True)):
        table.add_row(str(code), f"{cost:.3f}", f"{share:.3f}")
    terminal.print(table)
    for line in (
        f"mean budget of held-out prompts as the router sends them: {found.budget:.4f} of dense {unit}",
        f"the router sends {found.agreement:.1%} of them where the method's own rule does",
        f"{out} is ready; next: python -m aptp.finetune --checkpoint {out} --codes all --out …",
    ):
        say(terminal, line)


if __name__ == "__main__":
    run(main)
