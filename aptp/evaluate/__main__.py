"""`python -m aptp.evaluate`: what a checkpoint draws to held-out captions, judged.

Owns the command line alone.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from aptp.cli import Parser, quieten, run
from aptp.errors import Refused, StorageError, UsageError

DESCRIPTION = "Judge what a checkpoint draws to held-out captions of scenes."
LINE_EVERY = 20.0  # seconds


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m aptp.evaluate", description=DESCRIPTION)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the report goes")
    parser.add_argument(
        "--experts", default="dense,mixed", help="who draws: dense, mixed, 0, 1, …; as ceilings vae, render"
    )
    parser.add_argument("--per-tier", type=int, default=200, metavar="N", help="captions of each tier")
    parser.add_argument("--routed", type=int, default=2000, metavar="N", help="captions to look at routes on")
    parser.add_argument("--steps", type=int, default=25, help="of DDIM")
    parser.add_argument("--guidance", type=float, help="default: the checkpoint's")
    parser.add_argument("--seed", type=int, default=0, help="draws captions and start noise")
    parser.add_argument("--batch", type=int, default=50, help="pictures drawn at once")
    parser.add_argument("--judge", type=Path, metavar="FILE", help="default: the one in this package")
    arguments: argparse.Namespace = parser.parse_args(argv)
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    _check(arguments)
    console = Console(stderr=True)
    quieten()
    try:
        from aptp.evaluate.evaluation import Evaluation
    except ModuleNotFoundError as error:
        raise Refused(f"{error.name} is not installed; install aptp[eval] to evaluate") from error
    from aptp.checkpoint.reader import Checkpoint
    from aptp.evaluate.examination import held_out, unseen
    from aptp.evaluate.judge.reader import WEIGHTS, Judge
    from aptp.evaluate.sampling import Settings
    from aptp.evaluate.subjects import Subjects

    checkpoint = Checkpoint.open(arguments.checkpoint)
    if arguments.guidance is None:
        arguments.guidance = checkpoint.record.guidance
    settings = Settings(arguments.steps, arguments.guidance, arguments.seed, arguments.batch)
    subjects = Subjects(checkpoint, settings)
    names = subjects.chosen(arguments.experts)
    judge = Judge.load(arguments.judge or WEIGHTS)
    _make(arguments.out)
    samples = held_out(arguments.per_tier, arguments.seed)
    evaluation = Evaluation(subjects, judge, names, samples, unseen(arguments.routed, arguments.seed))
    about = _about(arguments, checkpoint, len({each.caption for each in samples}))
    report = evaluation.run(about, _progress(console, len(samples)))
    evaluation.save(report, arguments.out)
    sys.stdout.write(report.table() + "\n")
    console.print(f"{arguments.out}/report.md has it all", markup=False, highlight=False, soft_wrap=True)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Raises UsageError for what can be known to be wrong without the checkpoint."""
    for option, least in (("per_tier", 2), ("routed", 2), ("steps", 1), ("batch", 1), ("seed", 0)):
        value = getattr(arguments, option)
        if value < least:
            raise UsageError(f"--{option.replace('_', '-')} {value}: give at least {least}")
    if arguments.guidance is not None and not 0 <= arguments.guidance < math.inf:
        raise UsageError(f"--guidance {arguments.guidance}: give a number from 0 up")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"--out {folder} cannot be made ({error.strerror})") from error


def _about(arguments: argparse.Namespace, checkpoint: Any, distinct: int) -> dict[str, Any]:
    import diffusers
    import torch

    from aptp.evaluate.judge.reader import WEIGHTS
    from aptp.version import __version__

    judge = hashlib.sha256((arguments.judge or WEIGHTS).read_bytes()).hexdigest()
    return {
        "checkpoint": f"{checkpoint.record.name} {checkpoint.digest()[:16]}",
        "trained": checkpoint.record.trained,
        "captions": f"{arguments.per_tier} of each tier from the test split, seed {arguments.seed}; "
        f"{distinct} different",
        "drawn with": f"DDIM, {arguments.steps} steps, guidance {arguments.guidance:g}, float32, "
        f"torch {torch.__version__}, diffusers {diffusers.__version__}",
        "judge": judge[:16],
        "aptp": __version__,
    }


def _progress(console: Console, total: int) -> Callable[[str, int], None]:
    """Prints a line now and then: who is drawing, how much is there, the time left."""
    started: dict[str, float] = {}
    told = time.monotonic()

    def tell(name: str, done: int) -> None:
        nonlocal told
        now = time.monotonic()
        began = started.setdefault(name, told)
        if now - told > LINE_EVERY or done == total:
            told = now
            left = (now - began) / done * (total - done)
            line = f"{name}: {done} of {total} pictures, about {left:.0f} s left"
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    return tell


if __name__ == "__main__":
    run(main)
