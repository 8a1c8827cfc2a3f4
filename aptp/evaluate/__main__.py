"""`python -m aptp.evaluate`: draw held-out captions with a checkpoint, and judge them where they are scenes.

This is the command line alone.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from aptp.data.option import add_data, chosen
from aptp.device import add_device
from runtime.cli.output import put
from runtime.cli.parser import Parser, run
from runtime.cli.progress import Counting
from runtime.cli.terminal import quieten, say
from runtime.errors import StorageError, UsageError
from runtime.files.source import digest_source

if TYPE_CHECKING:
    from aptp.checkpoint.reader import Checkpoint
    from aptp.evaluate.models_under_test import Subjects

DESCRIPTION = (
    "Judge what a checkpoint draws to held-out captions of scenes, or show it for those of other data."
)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m aptp.evaluate", extra="eval", description=DESCRIPTION)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the report goes")
    parser.add_argument(
        "--codes", default="dense,mixed", help="who draws: dense, mixed, 0, 1, …; as ceilings vae, render"
    )
    add_data(parser)
    parser.add_argument(
        "--per-tier",
        type=int,
        default=200,
        metavar="N",
        help="captions of each tier; only scenes have several",
    )
    parser.add_argument("--routed", type=int, default=2000, metavar="N", help="captions to look at routes on")
    parser.add_argument("--steps", type=int, default=25, help="of DDIM")
    parser.add_argument("--guidance", type=float, help="default: the checkpoint's")
    parser.add_argument("--seed", type=int, default=0, help="draws captions and start noise")
    parser.add_argument("--batch", type=int, default=50, help="pictures drawn at once")
    parser.add_argument("--judge", type=Path, metavar="FILE", help="of scenes (the one in this package)")
    for option, what in (("inception", "FILE"), ("clip", "DIR"), ("cmmd-clip", "DIR")):
        parser.add_argument(
            f"--{option}", type=Path, metavar=what, help="also score, as aptp.score; not scenes"
        )
    add_device(parser)
    arguments: argparse.Namespace = parser.parse_args(argv)
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    _check(arguments)
    console = Console(stderr=True)
    quieten()
    put(_report(arguments, console))
    say(console, f"{arguments.out}/report.md has it all")
    return 0


def _report(arguments: argparse.Namespace, console: Console) -> str:
    """Write the report, and return its main table."""
    from aptp.checkpoint.reader import Checkpoint
    from aptp.device import choose_device
    from aptp.evaluate.models_under_test import Subjects
    from aptp.evaluate.sampling import SamplingOptions
    from aptp.pipeline import draws_scenes

    checkpoint = Checkpoint.open(arguments.checkpoint)
    scenes = draws_scenes(checkpoint.unet_config)
    arguments.data = chosen(arguments.data, checkpoint.path, draws_scenes=scenes)
    if arguments.guidance is None:
        arguments.guidance = checkpoint.record.guidance
    settings = SamplingOptions(
        *(arguments.steps, arguments.guidance, arguments.seed, arguments.batch),
        device=choose_device(arguments.device),
    )
    subjects = Subjects(checkpoint, settings)
    names = subjects.chosen(arguments.codes)
    return (_evaluate if arguments.data == "scenes" else _survey)(arguments, subjects, names, console)


def _evaluate(
    arguments: argparse.Namespace, subjects: "Subjects", names: Sequence[str], console: Console
) -> str:
    """Judge the pictures drawn of scenes; return the table of scores."""
    from aptp.evaluate.evaluation import Evaluation
    from aptp.evaluate.judge.reader import WEIGHTS, Judge
    from aptp.evaluate.verdicts import held_out, unseen

    judge = Judge.load(arguments.judge or WEIGHTS)
    samples = held_out(arguments.per_tier, arguments.seed)
    evaluation = Evaluation(subjects, judge, names, samples, unseen(arguments.routed, arguments.seed))
    _make(arguments.out)
    weights = digest_source(arguments.judge or WEIGHTS).sha256
    captions = (
        f"{arguments.per_tier} of each tier from the test split, seed {arguments.seed}; "
        f"{len({each.caption for each in samples})} different"
    )
    about = {**_about(arguments, subjects.checkpoint, captions), "judge": weights[:16]}
    with Counting(console) as progress:
        report = evaluation.run(about, lambda name, done: progress.tell(name, done, len(samples)))
    evaluation.save(report, arguments.out)
    return report.table()


def _survey(
    arguments: argparse.Namespace, subjects: "Subjects", names: Sequence[str], console: Console
) -> str:
    """Show what is drawn to captions of other data, which nothing here can judge; return where they are
    routed.
    """
    from aptp.data.captions import Window
    from aptp.data.sources import open_source
    from aptp.evaluate.models_under_test import RENDER
    from aptp.evaluate.scored import ENCODERS, check_subjects, score_pictures
    from aptp.evaluate.survey import UNJUDGED, Survey

    checkpoint, fits = subjects.checkpoint, Window(subjects.parts.tokenizer)
    if arguments.judge:
        raise UsageError("--judge reads scenes alone; leave it out with other data")
    encoders = {name: getattr(arguments, name) for name in ENCODERS if getattr(arguments, name)}
    if encoders:
        check_subjects(names)
        names = list(dict.fromkeys([*names, RENDER]))
    source = open_source(
        arguments.data, seed=arguments.seed, split="test", size=checkpoint.record.size, fits=fits
    )
    found, captions = source.about, source.captions()
    samples = [source[i] for i in range(min(arguments.per_tier, found["pairs"]))]
    routed = [captions[i] for i in range(min(arguments.routed, found["pairs"]))]
    _make(arguments.out)
    told = f"{len(samples)} from the test split, seed {arguments.seed}"
    data = f"{found['name']}, {found['pairs']} pairs, {found['sha256'][:16]}"
    about = {**_about(arguments, checkpoint, told), "data": data}
    with Counting(console) as progress:
        survey = Survey.of(
            *(subjects, names, samples, routed, about),
            lambda name, done: progress.tell(name, done, len(samples)),
        )
    survey.save(arguments.out)
    if encoders:
        score_pictures(survey, arguments.out, encoders, str(subjects.device))
    say(console, UNJUDGED)
    return survey.mixture.to_markdown()


def _check(arguments: argparse.Namespace) -> None:
    """Raise UsageError for what can be known to be wrong without the checkpoint."""
    for option, least in (("per_tier", 2), ("routed", 2), ("steps", 1), ("batch", 1), ("seed", 0)):
        value = getattr(arguments, option)
        if value < least:
            raise UsageError(f"--{option.replace('_', '-')} {value}: give at least {least}")
    if arguments.data == "scenes" and (arguments.inception or arguments.clip or arguments.cmmd_clip):
        raise UsageError(
            "scenes are judged (FD-scenes); --inception, --clip and --cmmd-clip are for other data"
        )
    if arguments.guidance is not None and not 0 <= arguments.guidance < math.inf:
        raise UsageError(f"--guidance {arguments.guidance}: give a number from 0 up")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"--out {folder} cannot be made ({error.strerror})") from error


def _about(arguments: argparse.Namespace, checkpoint: "Checkpoint", captions: str) -> dict[str, Any]:
    import diffusers
    import torch

    from aptp.version import __version__

    return {
        "checkpoint": f"{checkpoint.record.name} {checkpoint.digest()[:16]}",
        "trained": checkpoint.record.trained,
        "captions": captions,
        "drawn with": f"DDIM, {arguments.steps} steps, guidance {arguments.guidance:g}, float32, "
        f"torch {torch.__version__}, diffusers {diffusers.__version__}",
        "aptp": __version__,
    }


if __name__ == "__main__":
    run(main)
