"""`python -m export.judge`: let engines take a bundle's eight bits by themselves, if images show them good.

It draws and scores nothing: a file says what the images show (docs/INT8.md). Exit codes: 0 published, 2
usage, 3 refused.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from runtime.bundle.reader import Bundle
from runtime.cli.parser import Parser, run
from runtime.cli.terminal import say
from runtime.errors import Refused, unusable


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m export.judge", extra="build", description=__doc__)
    parser.add_argument(
        "--bundle", type=Path, required=True, metavar="DIR", help="with experts in eight bits"
    )
    parser.add_argument("--scores", type=Path, required=True, metavar="FILE", help="what its images show")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the bundle with its judgement"
    )
    parser.add_argument(
        "--bar",
        action="append",
        type=_bar,
        default=[],
        metavar="METRIC=X",
        help="the lower end of the metric's difference has to be above X (all: -0.02, words: -0.05)",
    )
    arguments: argparse.Namespace = parser.parse_args(argv)
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the whole command; return its exit code."""
    arguments = _arguments(argv)
    from export.build import layout
    from export.judge import judgement, scores

    out = layout.place(arguments.out)
    bundle, found = Bundle.open(arguments.bundle), scores.read(arguments.scores)
    entry = judgement.judge(bundle, found, dict(arguments.bar))
    try:
        judgement.publish_judged(bundle, entry, found.experts, out)
    except OSError as error:
        raise Refused(unusable(error)) from error
    console = Console(stderr=True)
    for one in entry["rung"]:
        say(
            console,
            f"{one['metric']}: {one['difference']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f}), "
            f"{one['images']} images, above {one['bar']:+.4f}",
        )
    say(
        console,
        f"{out} is published: experts {', '.join(found.experts)} have earned int8 on {found.processor}",
    )
    return 0


def _bar(text: str) -> tuple[str, float]:
    metric, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        metric, value = "", 0.0
    if not metric or not -1e9 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not METRIC=NUMBER, such as clip=-0.2")
    return metric, value


if __name__ == "__main__":
    run(main)
