"""`python -m aptp.score`: score folders of pictures against others, and against their captions.

This is the command line alone.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from aptp.device import add_device
from runtime.cli.output import put
from runtime.cli.parser import Parser, run
from runtime.cli.progress import Counting
from runtime.cli.terminal import quieten, say
from runtime.cli.values import whole
from runtime.errors import StorageError, UsageError, nearest

if TYPE_CHECKING:
    import torch

    from aptp.score.pictures import PictureSet
    from aptp.score.scoring import Encoders

DESCRIPTION = (
    "Score pictures: FID, KID and CMMD against reference pictures, CLIP score against their captions."
)
WANTS = {"fid": "inception", "kid": "inception", "cmmd": "cmmd_clip", "clip": "clip"}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m aptp.score", extra="eval", description=DESCRIPTION)
    parser.add_argument(
        "--pictures",
        action="append",
        required=True,
        metavar="[NAME=]DIR",
        help="pictures to score; several sets of the same captions are compared",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the report goes")
    parser.add_argument(
        "--against", type=Path, metavar="DIR|FILE", help="reference pictures, or what --keep made of them"
    )
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the features of --against in a file")
    parser.add_argument(
        "--captions",
        type=Path,
        metavar="FILE",
        help="captions, one a line, or a .jsonl, .csv or .tsv (default: those in the PNGs)",
    )
    parser.add_argument(
        "--metrics", metavar="LIST", help="of fid, kid, cmmd, clip (default: all that can be)"
    )
    parser.add_argument("--inception", type=Path, metavar="FILE", help="pt_inception-2015-12-05-6726825d.pth")
    parser.add_argument("--clip", type=Path, metavar="DIR", help="CLIP for the CLIP score, such as ViT-B/32")
    parser.add_argument("--cmmd-clip", type=Path, metavar="DIR", help="CLIP for CMMD, ViT-L/14 at 336 pixels")
    parser.add_argument("--baseline", metavar="NAME", help="the set that others are compared with (the last)")
    parser.add_argument(
        "--resize", type=whole, metavar="PIXELS", help="resize --pictures first, as the paper does: 256"
    )
    parser.add_argument(
        "--shown", type=whole, default=24, metavar="N", help="captions on the page of pictures"
    )
    parser.add_argument("--batch", type=whole, default=32, metavar="N", help="pictures encoded at once")
    add_device(parser)
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="features by content (default: $XDG_CACHE_HOME/aptp/features)",
    )
    arguments: argparse.Namespace = parser.parse_args(argv)
    _check(arguments)
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    console = Console(stderr=True)
    quieten()
    from aptp.device import choose_device
    from aptp.score.features import FeatureStore
    from aptp.score.report import Report
    from aptp.score.scoring import Scoring, check

    sets = _sets(arguments)
    metrics = arguments.metrics
    check(sets, captions="clip" in metrics)
    device = choose_device(arguments.device)
    _make(arguments.out)
    encoders = _encoders(arguments, device)
    store = FeatureStore(arguments.cache) if arguments.cache else FeatureStore.default()
    with Counting(console) as progress:
        scoring = Scoring(encoders, store, arguments.batch, progress.tell)
        reference = scoring.reference(arguments.against, metrics) if arguments.against else {}
        if arguments.keep:
            scoring.keep(arguments.keep, reference)
        baseline = arguments.baseline or (sets[-1].name if len(sets) > 1 else None)
        scores = scoring.run(sets, reference, metrics, baseline)
    report = Report.of(scores, encoders, arguments.against)
    report.save(arguments.out, arguments.shown)
    put(report.table())
    say(console, f"{arguments.out}/report.md has it all, {arguments.out}/pictures.html the pictures")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Choose the metrics; raise UsageError for what can be known to be wrong without a picture."""
    given = {name for name in set(WANTS.values()) if getattr(arguments, name)}
    known = tuple(WANTS)
    if arguments.metrics is None:
        arguments.metrics = tuple(name for name in known if WANTS[name] in given)
        if not arguments.against:
            arguments.metrics = tuple(name for name in arguments.metrics if name == "clip")
        if not arguments.metrics:
            raise UsageError(
                "nothing can be scored: give --clip, or --against with --inception or --cmmd-clip"
            )
    else:
        arguments.metrics = tuple(dict.fromkeys(name.strip() for name in arguments.metrics.split(",")))
    for name in arguments.metrics:
        if name not in known:
            raise UsageError(f"--metrics: no '{name}'{nearest(name, known)}; there is {', '.join(known)}")
        if WANTS[name] not in given:
            raise UsageError(f"--metrics {name} needs --{WANTS[name].replace('_', '-')}")
        if name != "clip" and not arguments.against:
            raise UsageError(f"--metrics {name} needs --against, the reference pictures")
    if arguments.keep and not arguments.against:
        raise UsageError("--keep keeps the features of --against, which is missing")
    if arguments.keep and arguments.metrics == ("clip",):
        raise UsageError("--keep keeps the features of fid, kid or cmmd, and none of them is to be scored")
    if arguments.batch < 1:
        raise UsageError("--batch 0: give at least 1")
    if arguments.resize == 0:
        raise UsageError("--resize 0: give the pixels of a side")


def _sets(arguments: argparse.Namespace) -> "list[PictureSet]":
    """List the pictures of each set. Raises UsageError for names that are not one each."""
    from aptp.score.captions import read_captions
    from aptp.score.pictures import PictureSet

    captions = read_captions(arguments.captions) if arguments.captions else None
    sets: list[PictureSet] = []
    for text in arguments.pictures:
        name, given, folder = text.rpartition("=")
        path = Path(folder)
        found = PictureSet.open(name if given else path.resolve().name, path, resize=arguments.resize)
        if found.name in [each.name for each in sets]:
            raise UsageError(f"--pictures: two sets are named {found.name}; name them: NAME={folder}")
        sets.append(
            found if captions is None else found.captioned(captions, f"--captions {arguments.captions}")
        )
    names = [each.name for each in sets]
    if arguments.baseline is not None and arguments.baseline not in names:
        known = ", ".join(names)
        raise UsageError(
            f"--baseline: no set '{arguments.baseline}'{nearest(arguments.baseline, names)}; {known}"
        )
    return sets


def _encoders(arguments: argparse.Namespace, device: "torch.device") -> "Encoders":
    """Read the encoders that the metrics need. Raises EncoderError."""
    from aptp.score.encoders import Clip, ClipCaptions, ClipPictures, Encoder, InceptionEncoder
    from aptp.score.metrics import CLIP, CMMD_CLIP, INCEPTION
    from aptp.score.preprocessing import centre_square
    from aptp.score.scoring import Encoders

    wanted = {WANTS[name] for name in arguments.metrics}
    found: dict[str, Encoder] = {}
    captions = None
    if "inception" in wanted:
        found[INCEPTION] = InceptionEncoder.read(arguments.inception, device)
    if "cmmd_clip" in wanted:
        found[CMMD_CLIP] = ClipPictures(Clip.read(arguments.cmmd_clip, device), centre_square)
    if "clip" in wanted:
        clip = Clip.read(arguments.clip, device)
        found[CLIP], captions = ClipPictures(clip), ClipCaptions(clip)
    return Encoders(found, captions)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"--out {folder} cannot be made ({error.strerror})") from error


if __name__ == "__main__":
    run(main)
