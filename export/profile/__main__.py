"""`python -m export.profile`: what each part of a UNet costs on this machine, at a few widths, into a file.

`aptp.train --cost FILE` counts its budget by that file, `export.build --cost FILE` judges widths by it.
Running the same command again goes on with an unfinished profile. Exit codes: 0 done, 1 not, 2 usage, 3
refused.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from runtime.cli.parser import Parser, run
from runtime.cli.terminal import quieten, say
from runtime.cli.values import size
from runtime.errors import UsageError
from runtime.machine import processor

# Wide enough for the table where there is no terminal to measure.
PLAIN_WIDTH = 160


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line. Raises runtime's UsageError for what it does not know."""
    parser = Parser(prog="python -m export.profile", extra="build", description=__doc__)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="DIR",
        help="or the diffusers folder that is to become one",
    )
    parser.add_argument("--engine", default="auto", help="that will serve: auto, cpu, openvino or aoti")
    parser.add_argument(
        "--precision",
        default="float32",
        help="float32 or bfloat16",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the profile")
    parser.add_argument("--size", type=size, metavar="WxH", help="pixels of an image (the checkpoint's own)")
    parser.add_argument("--rows", type=int, metavar="N", help="of one call; default: those of one image")
    parser.add_argument(
        "--widths", type=int, default=4, metavar="N", help="steps in which widths are varied (4: quarters)"
    )
    parser.add_argument("--samples", type=int, default=15, metavar="N", help="of each width, at least")
    parser.add_argument(
        "--threads", type=int, default=processor.threads(), metavar="N", help="that the engine may use"
    )
    parsed: argparse.Namespace = parser.parse_args(argv)
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    """Run the whole command; return its exit code."""
    options = arguments(argv)
    size = _check(options)
    quieten()
    console = Console(stderr=True)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    with console.status("reading the geometry"):
        from export.profile import engines, report
        from export.profile.measurement import Measurement
        from export.profile.subject import Subject
        from export.profile.timing import Patience

        engine = engines.choose(options.engine, options.precision, options.threads)
        subject = Subject.of(options.checkpoint, size, options.rows)
        patience = Patience(options.samples)
        measurement = Measurement(subject, engine, options.threads, options.widths, patience, options.out)
        profile = measurement.found()
        tasks = measurement.tasks(profile)

    say(
        console,
        f"{profile.setting}: {len(tasks)} left to measure, {_minutes(sum(task.effort for task in tasks))}",
    )
    profile = measurement.run(console, profile)
    console.print(report.table(profile))
    for line in report.closing(profile, subject.space):
        say(console, line)
    say(console, f"{options.out} is ready; next: python -m aptp.train --cost {options.out} …")
    return 0


def _minutes(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 100 else f"about {seconds / 60:.0f} min"


def _check(options: argparse.Namespace) -> tuple[int, int] | None:
    """Check the options as far as possible without the checkpoint, and return the size. Raises UsageError."""
    for name in ("rows", "widths", "samples", "threads"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} {value}: give at least 1")
    if not options.out.parent.is_dir():
        raise UsageError(f"--out {options.out}: there is no folder {options.out.parent}; make it first")
    if options.out.is_dir():
        raise UsageError(f"--out {options.out}: is a folder; name a file, such as {options.out}/profile.json")
    return options.size and (options.size.height, options.size.width)


if __name__ == "__main__":
    run(main)
