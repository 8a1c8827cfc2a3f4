"""`python -m aptp.new`: make a checkpoint with random codes, from a geometry preset or a diffusers folder.

This is the command line alone; torch is imported once the arguments parse.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from aptp.presets import DEFAULT_BUDGETS, PRESETS
from runtime.cli.parser import Parser, run
from runtime.cli.progress import stages
from runtime.cli.terminal import quieten, say
from runtime.cli.values import size
from runtime.errors import UsageError

if TYPE_CHECKING:
    from aptp.space.architecture import Architecture
    from aptp.space.cost import LinearCost

DESCRIPTION = "Make a checkpoint with random codes, from a geometry preset or a local diffusers folder."


def _arguments() -> argparse.Namespace:
    parser = Parser(prog="python -m aptp.new", extra="build", description=DESCRIPTION)
    origin = parser.add_mutually_exclusive_group(required=True)
    origin.add_argument("--preset", help=f"random weights of this geometry: {', '.join(PRESETS)}")
    origin.add_argument("--from", dest="source", type=Path, metavar="DIR", help="a local diffusers folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint to make")
    parser.add_argument(
        "--budgets", default=",".join(map(str, DEFAULT_BUDGETS)), help="shares of the dense MACs"
    )
    parser.add_argument("--size", type=size, metavar="WxH", help="that budgets hold at (the pipeline's own)")
    parser.add_argument("--seed", type=int, default=0, help="draws codes, router and random weights")
    parser.add_argument("--dtype", help="stored weights: float16 (presets) or as they are (folders)")
    parser.add_argument("--align", type=int, default=1, help="round kept channels up to multiples of this")
    arguments: argparse.Namespace = parser.parse_args()
    return arguments


def _numbers(text: str) -> list[float]:
    try:
        return [float(item) for item in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--budgets '{text}' is not a list of numbers separated by ','") from error


def main() -> int:
    arguments = _arguments()
    console = Console(stderr=True)
    budgets = _numbers(arguments.budgets)
    with console.status("starting") as status:
        quieten()
        from aptp.new.create import create

        cost, codes = create(
            arguments.out,
            preset=arguments.preset,
            source=arguments.source,
            budgets=budgets,
            size=arguments.size and (arguments.size.height, arguments.size.width),
            seed=arguments.seed,
            dtype=arguments.dtype,
            align=arguments.align,
            progress=stages(console, status),
        )
    _report(console, arguments.out, cost, codes)
    return 0


def _report(
    console: Console, out: Path, cost: "LinearCost", codes: "Sequence[tuple[float, Architecture]]"
) -> None:
    from aptp.checkpoint.reader import Checkpoint
    from aptp.components.scheduler import replaced

    table = Table("code", "budget", "MACs (G)", "of dense", "skipped sublayers")
    for i, (budget, architecture) in enumerate(codes):
        macs = cost.of(architecture)
        share = f"{macs / cost.dense:.3f}"
        table.add_row(str(i), f"{budget:.2f}", f"{macs / 1e9:.2f}", share, str(len(architecture.dropped)))
    console.print(table)
    for module, reason in cost.space.left_dense:
        say(console, f"left dense: {module}: {reason}")
    if told := replaced(Checkpoint.open(out).scheduler_config()):
        say(console, told)
    ready = f"{out} is ready; next: python -m export.build --checkpoint {out} --codes all"
    say(console, ready)


if __name__ == "__main__":
    run(main)
