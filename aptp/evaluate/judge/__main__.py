"""`python -m aptp.evaluate.judge`: how well the judge reads held-out renders, if need be after training one.

Exit code 1 if it misses a goal. This is the command line alone.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from runtime.cli.parser import Parser, run
from runtime.cli.terminal import quieten
from runtime.errors import UsageError

DESCRIPTION = "Measure the judge on held-out renders, after training one anew if --out is given."
STEPS = 2600
LINE_EVERY = 30.0  # seconds


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m aptp.evaluate.judge", description=DESCRIPTION)
    parser.add_argument("--out", type=Path, metavar="FILE", help="train a judge and write its weights here")
    parser.add_argument("--train-steps", dest="steps", type=int, default=STEPS, help="of 64 pictures each")
    parser.add_argument("--seed", type=int, default=0, help="of training")
    parser.add_argument("--pictures", type=int, default=2000, help="to measure on, of each kind")
    arguments: argparse.Namespace = parser.parse_args(argv)
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    for name in ("steps", "pictures"):
        if getattr(arguments, name) < 1:
            raise UsageError(f"--{name} {getattr(arguments, name)}: give at least 1")
    if arguments.out and not arguments.out.parent.is_dir():
        raise UsageError(f"--out {arguments.out}: there is no folder {arguments.out.parent}")
    console = Console(stderr=True)
    quieten()
    from aptp.evaluate.judge import accuracy
    from aptp.evaluate.judge.reader import Judge
    from aptp.evaluate.judge.training import train

    judge = None
    if arguments.out:
        told = _progress(console, arguments.steps)
        Judge(train(arguments.steps, seed=arguments.seed, progress=told)).save(arguments.out)
        judge = Judge.load(arguments.out)  # as it will be used: with its weights rounded
    rates = {
        name: accuracy.accuracy(judge or Judge.load(), source, arguments.pictures)
        for name, source in accuracy.examinations(arguments.pictures).items()
    }
    sys.stdout.write(accuracy.table(rates) + "\n")
    missed = accuracy.missed(rates)
    for line in missed:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 1 if missed else 0


def _progress(console: Console, steps: int) -> Callable[[int, Mapping[str, float]], None]:
    """Print a line now and then: how far, the largest losses, the time left."""
    started = told = time.monotonic()

    def tell(step: int, losses: Mapping[str, float]) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told > LINE_EVERY or step == steps:
            told = now
            left = (now - started) / step * (steps - step)
            worst = sorted(losses, key=lambda name: -losses[name])[:3]
            figures = ", ".join(f"{name} {losses[name]:.3f}" for name in worst)
            console.print(
                f"judge: {step} of {steps}, {figures}, about {left:.0f} s left",
                highlight=False,
                soft_wrap=True,
            )

    return tell


if __name__ == "__main__":
    run(main)
