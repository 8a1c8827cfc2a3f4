"""`python -m aptp.evaluate.judge`: measure the judge on held-out renders, after training it if asked to.

Exit code 1 if it misses a goal. This is the command line alone.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from runtime.cli.output import put
from runtime.cli.parser import Parser, run
from runtime.cli.progress import Counting
from runtime.cli.terminal import quieten, say
from runtime.errors import UsageError

DESCRIPTION = "Measure the judge on held-out renders, after training one anew if --out is given."
STEPS = 2600


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m aptp.evaluate.judge", extra="build", description=DESCRIPTION)
    parser.add_argument("--out", type=Path, metavar="FILE", help="train a judge and write its weights here")
    parser.add_argument("--train-steps", dest="steps", type=int, default=STEPS, help="of 64 pictures each")
    parser.add_argument("--seed", type=int, default=0, help="of training")
    parser.add_argument("--pictures", type=int, default=2000, help="to measure on, of each kind")
    arguments: argparse.Namespace = parser.parse_args(argv)
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    for option, value in (("--train-steps", arguments.steps), ("--pictures", arguments.pictures)):
        if value < 1:
            raise UsageError(f"{option} {value}: give at least 1")
    if arguments.out and not arguments.out.parent.is_dir():
        raise UsageError(f"--out {arguments.out}: there is no folder {arguments.out.parent}")
    console = Console(stderr=True)
    quieten()
    from aptp.evaluate.judge import accuracy
    from aptp.evaluate.judge.reader import Judge
    from aptp.evaluate.judge.training import train

    judge = None
    if arguments.out:
        with Counting(console) as progress:

            def told(step: int, losses: Mapping[str, float]) -> None:
                progress.tell("judge", step, arguments.steps, _worst(losses))

            trained = train(arguments.steps, seed=arguments.seed, progress=told)
        Judge(trained).save(arguments.out)
        judge = Judge.load(arguments.out)  # as it will be used: with its weights rounded
    rates = {
        name: accuracy.accuracy(judge or Judge.load(), source, arguments.pictures)
        for name, source in accuracy.examinations(arguments.pictures).items()
    }
    put(accuracy.table(rates))
    missed = accuracy.missed(rates)
    for line in missed:
        say(console, line)
    return 1 if missed else 0


def _worst(losses: Mapping[str, float]) -> str:
    """Return the largest losses."""
    worst = sorted(losses, key=lambda name: -losses[name])[:3]
    return ", ".join(f"{name} {losses[name]:.3f}" for name in worst)


if __name__ == "__main__":
    run(main)
