"""`python -m aptp.new`: a checkpoint with random codes, from a geometry preset or a diffusers folder.

Owns the command line alone; torch is imported once the arguments parse.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from aptp.presets import DEFAULT_BUDGETS, PRESETS
from runtime.cli.parser import Parser, run
from runtime.cli.progress import stages
from runtime.cli.terminal import quieten, say
from runtime.errors import UsageError

if TYPE_CHECKING:
    from aptp.space.architecture import Architecture
    from aptp.space.cost import LinearCost

DESCRIPTION = "Make a checkpoint with random codes, from a geometry preset or a local diffusers folder."


def _arguments() -> argparse.Namespace:
    parser = Parser(prog="python -m aptp.new", description=DESCRIPTION)
    origin = parser.add_mutually_exclusive_group(required=True)
    origin.add_argument("--preset", help=f"random weights of this geometry: {', '.join(PRESETS)}")
    origin.add_argument("--from", dest="source", type=Path, metavar="DIR", help="a local diffusers folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint to make")
    parser.add_argument(
        "--budgets", default=",".join(map(str, DEFAULT_BUDGETS)), help="shares of the dense MACs"
    )
    parser.add_argument("--size", metavar="HxW", help="pixels the budgets hold at (the pipeline's own)")
    parser.add_argument("--seed", type=int, default=0, help="draws codes, router and random weights")
    parser.add_argument("--dtype", help="stored weights: float16 (presets) or as they are (folders)")
    parser.add_argument("--align", type=int, default=1, help="round kept channels up to multiples of this")
    arguments: argparse.Namespace = parser.parse_args()
    return arguments


def _numbers(text: str, kind: Callable[[str], Any], separator: str, what: str) -> list[Any]:
    try:
        return [kind(item) for item in text.split(separator)]
    except ValueError as error:
        raise UsageError(f"{what} '{text}' is not a list of numbers separated by '{separator}'") from error


def main() -> int:
    arguments = _arguments()
    console = Console(stderr=True)
    size = _numbers(arguments.size, int, "x", "--size") if arguments.size else None
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise UsageError(f"--size '{arguments.size}' is not HxW in pixels, such as 512x512")
    budgets = _numbers(arguments.budgets, float, ",", "--budgets")
    with console.status("starting") as status:
        quieten()
        from aptp.create import create

        cost, codes = create(
            arguments.out,
            preset=arguments.preset,
            source=arguments.source,
            budgets=budgets,
            size=None if size is None else (size[0], size[1]),
            seed=arguments.seed,
            dtype=arguments.dtype,
            align=arguments.align,
            progress=stages(console, status),
        )
    _report(console, arguments.out, cost, codes)
    return 0


def _report(
    console: Console, out: Path, cost: LinearCost, codes: Sequence[tuple[float, Architecture]]
) -> None:
    table = Table("code", "budget", "MACs (G)", "of dense", "skipped sublayers")
    for i, (budget, architecture) in enumerate(codes):
        macs = cost.of(architecture)
        share = f"{macs / cost.dense:.3f}"
        table.add_row(str(i), f"{budget:.2f}", f"{macs / 1e9:.2f}", share, str(len(architecture.dropped)))
    console.print(table)
    for module, reason in cost.space.left_dense:
        say(console, f"left dense: {module}: {reason}")
    ready = f"{out} is ready; next: python -m export.build --checkpoint {out} --codes all"
    say(console, ready)


if __name__ == "__main__":
    run(main)
