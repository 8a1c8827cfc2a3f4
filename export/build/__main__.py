"""`python -m export.build --codes all`: build a verified bundle of dense expert engines from a checkpoint.

Running the same command again resumes an interrupted build and rebuilds only what has changed. Exit codes: 0
done, 1 some of it failed (the rest is published), 2 usage, 3 refused.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from export.build import layout, workers
from runtime.cli.output import put
from runtime.cli.parser import Parser, add_cache, run
from runtime.cli.prompts import read_prompts
from runtime.cli.terminal import quieten, say
from runtime.cli.values import memory
from runtime.errors import Refused, UsageError, unusable
from runtime.files.cache_folder import check_folder
from runtime.machine import processor
from runtime.machine.memory import half_of_memory

# Wide enough for both tables where there is no terminal to measure.
PLAIN_WIDTH = 140


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line. Raises runtime's UsageError for what it does not know."""
    parser = Parser(prog="python -m export.build", extra="build", description=__doc__)
    parser.add_argument("--codes", required=True, help="all, dense, or numbers: all,dense | 0,3")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="default: the small one of this project"
    )
    parser.add_argument("--out", type=Path, default=Path("bundle"), metavar="DIR", help="the bundle")
    parser.add_argument(
        "--engines",
        dest="engine",
        default="auto",
        metavar="A,B",
        help="besides the graphs (onnx): openvino, aoti, tensorrt, supernet; auto: openvino where it is",
    )
    parser.add_argument(
        "--precision",
        help="of these engines: float32, bfloat16 or float16; int8: openvino, besides its own",
    )
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        help="prompts that int8 is quantized on, one a line, unlike those to judge",
    )
    parser.add_argument("--solvers", metavar="A,B", help="default: every solver that can be a table")
    parser.add_argument(
        "--jobs", type=int, default=processor.threads(), metavar="N", help="processes at once"
    )
    parser.add_argument(
        "--memory", type=memory, metavar="8GiB", help="for all processes; default: 12GiB, or half of all"
    )
    add_cache(parser)
    parser.add_argument(
        "--cost", type=Path, metavar="FILE", help="a profile: the report says which widths to align or pad"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument("--json", action="store_true", help="print the report as JSON on stdout")
    parsed: argparse.Namespace = parser.parse_args(argv)
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    """Run the whole command; return its exit code."""
    options = arguments(argv)
    _check(options)
    quieten()
    console = Console(stderr=True)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    try:
        return _build(options, console)
    except OSError as error:
        raise Refused(unusable(error)) from error


def _build(options: argparse.Namespace, console: Console) -> int:
    if not options.dry_run:
        workers.warm()
    # Loading torch takes seconds: not before the command line is known to be good, and beside the fork
    # server.
    from export.build import report
    from export.build.build import Construction

    with console.status("reading the checkpoint"):
        construction = Construction.of(options)
    if options.dry_run:
        _show_plan(construction.plan(), console, options.json)
        return 0
    result = construction.run(console)
    console.width = max(console.width, report.WIDTH)
    console.print(report.table(result))
    for line in report.closing(result):
        say(console, line)
    if options.json:
        put(json.dumps(report.summary(result), indent=1))
    return result.exit_code


def _check(options: argparse.Namespace) -> None:
    """Check the options as far as possible without the checkpoint. Raises UsageError."""
    if options.jobs < 1:
        raise UsageError(f"--jobs {options.jobs}: give at least 1")
    if options.memory is None:
        options.memory = min(12 << 30, half_of_memory())
    if options.calibration is not None:
        options.calibration = read_prompts(options.calibration)
    options.out = layout.place(options.out)
    if options.cache is not None:  # it is used by the last rung, hours from now
        check_folder(Path(options.cache), group_writable=options.cache_group_writable)


def _show_plan(plan: list[tuple[str, str, str]], console: Console, as_json: bool) -> None:
    if as_json:
        entries = [{"part": name, "action": action, "why": why} for name, action, why in plan]
        put(json.dumps(entries, indent=1))
        return
    drawn = Table("part", "action", "why", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for row in plan:
        drawn.add_row(*map(Text, row))
    console.print(drawn)


if __name__ == "__main__":
    run(main)
