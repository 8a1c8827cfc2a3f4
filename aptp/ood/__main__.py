"""`python -m aptp.ood`: send prompts unlike those of the training to one expert."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from aptp.data.option import add_data, chosen
from aptp.device import add_device
from runtime.cli.parser import Parser, run
from runtime.cli.progress import Counting
from runtime.cli.terminal import quieten, say
from runtime.errors import UsageError, nearest
from runtime.formats import DENSE

DESCRIPTION = (
    "Measure how far prompts lie from those a router was trained on, and send the far ones elsewhere."
)
LARGEST = "largest"


def _arguments() -> argparse.Namespace:
    parser = Parser(prog="python -m aptp.ood", extra="build", description=DESCRIPTION)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint to make")
    parser.add_argument(
        "--to", default=LARGEST, help="who draws them: largest (of the codes), dense, 0, 1, …"
    )
    add_data(parser)
    parser.add_argument("--share", type=float, metavar="P", help="of familiar prompts that may be sent away")
    parser.add_argument(
        "--num-prompts",
        dest="prompts",
        type=int,
        metavar="N",
        help="captions to learn from, and to measure on",
    )
    parser.add_argument("--clusters", type=int, metavar="M", help="Gaussians that describe them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--against", type=Path, action="append", default=[], metavar="FILE", help="prompts to try it on"
    )
    add_device(parser)
    arguments: argparse.Namespace = parser.parse_args()
    for option, value in (("--num-prompts", arguments.prompts), ("--clusters", arguments.clusters)):
        if value is not None and value < 1:
            raise UsageError(f"{option} {value}: give at least 1")
    return arguments


def main() -> int:
    arguments = _arguments()
    console = Console(stderr=True)
    with console.status("starting"):
        quieten()
        from aptp.checkpoint.publishing import check_target
        from aptp.checkpoint.reader import Checkpoint
        from aptp.checkpoint.record import OutOfDistributionRule
        from aptp.checkpoint.writer import write_guarded
        from aptp.data.sources import open_source
        from aptp.device import choose_device
        from aptp.ood.prompts import Reader
        from aptp.ood.threshold import distances, measure
        from aptp.pipeline import draws_scenes
        from aptp.trainer.provenance import origin
        from runtime.cli.prompts import read_prompts

    device = choose_device(arguments.device)
    check_target(arguments.out)
    checkpoint = Checkpoint.open(arguments.checkpoint)
    expert = _expert(checkpoint, arguments.to)
    data = chosen(arguments.data, checkpoint.path, draws_scenes=draws_scenes(checkpoint.unet_config))
    others = {path: read_prompts(path) for path in arguments.against}
    read = Reader(checkpoint, device)
    seen, unseen = (open_source(data, seed=arguments.seed, split=s) for s in ("train", "test"))
    given = {name: getattr(arguments, name) for name in ("prompts", "clusters", "share")}
    options = {name: value for name, value in given.items() if value is not None}
    with Counting(console) as progress:
        reading = partial(progress.tell, "reading captions")
        limit = measure(read, seen, unseen, seed=arguments.seed, progress=reading, **options)
    found = {name: getattr(limit, name) for name in ("threshold", "share", "measured", "held_out")}
    told = {**origin("aptp.ood"), "data": seen.about, "seed": arguments.seed, **options, "limit": found}
    write_guarded(
        checkpoint,
        arguments.out,
        limit.detector,
        OutOfDistributionRule(limit.threshold, expert),
        {**told, "from": checkpoint.record.provenance},
    )
    lines = [
        f"prompts more than {limit.threshold:.3f} away go to expert {expert}: {limit.measured:.2%} of "
        f"{limit.held_out} held-out captions of {seen.about['name']} that did not set this limit"
    ]
    for path, prompts in others.items():
        far = distances(limit.detector, read(prompts)) > limit.threshold
        lines.append(f"{far.double().mean():.1%} of the {len(prompts)} prompts in {path}")
    for line in (*lines, f"{arguments.out} is ready"):
        say(console, line)
    return 0


def _expert(checkpoint: Any, name: str) -> str:
    """Return the expert that was asked for, by the name that the index gives it. Raises UsageError."""
    cost, codes = checkpoint.cost(), checkpoint.architectures
    if name == LARGEST:
        return str(max(range(len(codes)), key=lambda code: cost.of(codes[code])))
    known = [LARGEST, DENSE, *map(str, range(len(codes)))]
    if name not in known:
        raise UsageError(f"--to: no expert '{name}'{nearest(name, known)}; there is {', '.join(known)}")
    return name


if __name__ == "__main__":
    run(main)
