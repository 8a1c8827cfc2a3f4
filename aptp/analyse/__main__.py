"""`python -m aptp.analyse`: report what a router learned, as an HTML page."""

import argparse
import math
import os
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from aptp.data.option import add_data, chosen
from aptp.device import add_device
from runtime.cli.parser import Parser, run
from runtime.cli.progress import Counting
from runtime.cli.terminal import quieten, say
from runtime.errors import StorageError, UsageError
from runtime.files.publish import write_file

DESCRIPTION = (
    "Show what a router learned: its codes, their prompts, and what becomes of those out of distribution."
)
LEAST = 100  # captions; fewer say nothing


def _arguments() -> argparse.Namespace:
    parser = Parser(prog="python -m aptp.analyse", extra="eval", description=DESCRIPTION)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="the page, report.html; JSON beside it",
    )
    add_data(parser)
    parser.add_argument(
        "--prompts",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="prompts from elsewhere: one a line, or a .tsv or .csv with a column of them",
    )
    parser.add_argument("--count", type=int, default=4000, metavar="N", help="held-out captions to look at")
    parser.add_argument(
        "--pictures", type=int, default=8, metavar="N", help="to draw of each code and file; 0 for none"
    )
    parser.add_argument("--steps", type=int, default=25, help="of DDIM")
    parser.add_argument("--guidance", type=float, help="default: the checkpoint's")
    parser.add_argument("--seed", type=int, default=0, help="draws captions and start noise")
    add_device(parser)
    arguments: argparse.Namespace = parser.parse_args()
    _check(arguments)
    return arguments


def main() -> int:
    arguments = _arguments()
    console = Console(stderr=True)
    with console.status("starting"):
        quieten()
        from aptp.analyse.page import page
        from aptp.analyse.pictures import draw
        from aptp.analyse.study import RouterStudy, StudyOptions
        from aptp.checkpoint.reader import Checkpoint
        from aptp.device import choose_device
        from aptp.evaluate.sampling import SamplingOptions
        from aptp.pipeline import draws_scenes
        from runtime.cli.prompts import read_prompts

    checkpoint = Checkpoint.open(arguments.checkpoint)
    scenes = draws_scenes(checkpoint.unet_config)
    arguments.data = chosen(arguments.data, checkpoint.path, draws_scenes=scenes)
    others = {path.stem: read_prompts(path) for path in arguments.prompts}
    if arguments.guidance is None:
        arguments.guidance = checkpoint.record.guidance
    device = choose_device(arguments.device)
    options = StudyOptions(arguments.data, arguments.count, arguments.pictures, arguments.seed)
    with Counting(console) as progress:
        study = RouterStudy(checkpoint, options, others, partial(progress.tell, "reading prompts"), device)
        findings = study.findings(_about(arguments, checkpoint, options))
        settings = SamplingOptions(arguments.steps, arguments.guidance, arguments.seed, device=device)
        pictures = draw(checkpoint, findings, settings, partial(progress.tell, "drawing"))
    data = arguments.out.with_suffix(".json")
    html = page(findings, checkpoint.architectures, study.landings, pictures, data.name)
    _write(arguments.out, html)
    _write(data, findings.to_json())
    line = f"{arguments.out} shows it, {data} has the numbers"
    say(console, line)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Raise UsageError for what can be known to be wrong without the checkpoint."""
    for option, least in (("count", LEAST), ("pictures", 0), ("steps", 1), ("seed", 0)):
        value = getattr(arguments, option)
        if value < least:
            raise UsageError(f"--{option} {value}: give at least {least}")
    if arguments.guidance is not None and not 0 <= arguments.guidance < math.inf:
        raise UsageError(f"--guidance {arguments.guidance}: give a number from 0 up")
    if arguments.out.suffix not in (".html", ".htm"):
        raise UsageError(f"--out {arguments.out}: give a file that ends in .html")
    folder = arguments.out.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--out {arguments.out}: {folder} is no folder that can be written to")
    stems = [path.stem for path in arguments.prompts]
    for stem in stems:
        if stems.count(stem) > 1:
            raise UsageError(f"--prompts: two files are named {stem}; the page could not tell them apart")


def _about(arguments: argparse.Namespace, checkpoint: Any, options: Any) -> dict[str, Any]:
    import diffusers
    import torch

    from aptp.version import __version__

    return {
        "name": checkpoint.record.name,
        "checkpoint": checkpoint.digest()[:16],
        "trained": checkpoint.record.trained,
        "held-out prompts": f"{options.count} captions of {options.name}, seed {options.seed}",
        "drawn with": f"DDIM, {arguments.steps} steps, guidance {arguments.guidance:g}, float32, "
        f"torch {torch.__version__}, diffusers {diffusers.__version__}",
        "aptp": __version__,
    }


def _write(path: Path, text: str) -> None:
    try:
        write_file(path, text)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror}); make room, or choose another --out"
        ) from error


if __name__ == "__main__":
    run(main)
