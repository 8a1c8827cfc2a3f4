"""`python -m aptp.convert`: convert the authors' published experts to a checkpoint."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from runtime.cli.parser import Parser, run
from runtime.cli.progress import stages
from runtime.cli.terminal import quieten, say

if TYPE_CHECKING:
    from aptp.convert.conversion import Converted

DESCRIPTION = "Make a checkpoint of the experts, codes and router that the method's authors publish."


def _arguments() -> argparse.Namespace:
    parser = Parser(prog="python -m aptp.convert", extra="build", description=DESCRIPTION)
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        required=True,
        metavar="DIR",
        help="the published folder: hypernet, quantizer, arch0, arch1, …",
    )
    parser.add_argument(
        "--pipeline",
        type=Path,
        required=True,
        metavar="DIR",
        help="the diffusers folder its experts were cut from (Stable Diffusion 2.1)",
    )
    parser.add_argument(
        "--prompt-encoder",
        type=Path,
        required=True,
        metavar="DIR",
        help="the transformers folder its predictor reads (all-mpnet-base-v2)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint to make")
    parser.add_argument(
        "--routing",
        default="noise-free",
        help="noise-free, or row-0: with the noise that the published evaluation adds to a single prompt",
    )
    arguments: argparse.Namespace = parser.parse_args()
    return arguments


def main() -> int:
    arguments = _arguments()
    console = Console(stderr=True)
    with console.status("starting") as status:
        quieten()
        from aptp.convert.conversion import ConversionSource, convert

        source = ConversionSource(
            arguments.source, arguments.pipeline, arguments.prompt_encoder, arguments.routing
        )
        made = convert(source, arguments.out, stages(console, status))
    _report(console, arguments.out, made)
    return 0


def _report(console: Console, out: Path, made: "Sequence[Converted]") -> None:
    table = Table("code", "from", "of dense", "weights", "likeness to the pipeline's")
    for code, one in enumerate(made):
        table.add_row(
            str(code), one.folder, f"{one.cost:.3f}", "full" if one.full else "sliced", f"{one.likeness:.3f}"
        )
    console.print(table)
    ready = f"{out} is ready; next: python -m export.build --checkpoint {out} --codes all"
    say(console, ready)


if __name__ == "__main__":
    run(main)
