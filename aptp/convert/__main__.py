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
    from aptp.convert.routes import RouteComparison

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
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help="route these by either routing, tell how far the two agree, and advise one",
    )
    arguments: argparse.Namespace = parser.parse_args()
    return arguments


def main() -> int:
    arguments = _arguments()
    console = Console(stderr=True)
    with console.status("starting") as status:
        quieten()
        from aptp.checkpoint.reader import Checkpoint
        from aptp.convert.conversion import ConversionSource, convert
        from aptp.convert.routes import compare
        from runtime.cli.prompts import read_prompts

        source = ConversionSource(
            arguments.source, arguments.pipeline, arguments.prompt_encoder, arguments.routing
        )
        prompts = read_prompts(arguments.prompts) if arguments.prompts else []
        made = convert(source, arguments.out, stages(console, status))
        status.update("prompts")
        found = compare(Checkpoint.open(arguments.out), prompts) if prompts else None
    _report(console, arguments.out, made)
    if found:
        _compare(console, found, arguments.routing)
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


def _compare(console: Console, found: "RouteComparison", routing: str) -> None:
    table = Table("code", *(f"{name}" for name in found.shares))
    for code, shares in enumerate(zip(*found.shares.values(), strict=True)):
        table.add_row(str(code), *(f"{share:.3f}" for share in shares))
    console.print(table)
    other = "" if found.advice == routing else "; convert again to have it"
    agreeing = ", ".join(f"{name} {share:.1%}" for name, share in found.agreement.items())
    say(
        console, f"the two routings send {found.disagreement:.1%} of {found.count} prompts to different codes"
    )
    say(console, f"prompts that they send where a batch of the published code does: {agreeing}")
    say(console, f"so --routing {found.advice} is nearer to what the experts were tuned on{other}")


if __name__ == "__main__":
    run(main)
