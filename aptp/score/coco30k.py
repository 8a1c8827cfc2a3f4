"""`python -m aptp.score.coco30k`: the captions of COCO that the paper draws, and the pictures beside them.

As published: the first caption of each picture of the validation part of 2014, in the file's order, of which
numpy's generator of 2014 draws 30,000 without replacement, by seed 42.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from runtime.cli.parser import Parser, run
from runtime.cli.terminal import say
from runtime.cli.values import whole
from runtime.errors import DataError, StorageError, UsageError
from runtime.files.publish import place, publishing, write_file
from runtime.files.source import read_source

DESCRIPTION = "List the captions of COCO that the paper draws, and the pictures that it compares with."
PART = "val2014"
MOST_BYTES = 4 << 30


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m aptp.score.coco30k", extra="eval", description=DESCRIPTION)
    parser.add_argument("--coco", type=Path, required=True, metavar="DIR", help="COCO 2014, as published")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="where prompts.txt, captions.tsv and pictures/ go",
    )
    parser.add_argument(
        "--count", type=whole, default=30_000, metavar="N", help="of captions (default: 30,000)"
    )
    parser.add_argument("--seed", type=whole, default=42, help="default: 42, the paper's")
    arguments: argparse.Namespace = parser.parse_args(argv)
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    pairs = chosen(_pairs(arguments.coco), arguments.count, arguments.seed)
    folder = _folder(arguments.coco)
    for name, _ in pairs:
        if not (folder / name).is_file():
            raise DataError(f"{folder / name} is missing; the list needs all pictures of {PART}")
    try:
        with publishing(arguments.out.resolve()) as draft:
            for name, _ in pairs:
                place((folder / name).resolve(), draft / "pictures" / name)
            rows = ["file_name\tcaption", *(f"{name}\t{caption}" for name, caption in pairs)]
            write_file(draft / "captions.tsv", "\n".join(rows) + "\n")
            write_file(draft / "prompts.txt", "".join(f"{caption}\n" for _, caption in pairs))
    except OSError as error:
        raise StorageError(
            f"--out {arguments.out} cannot be written ({error.strerror}); name another place"
        ) from error
    say(
        Console(stderr=True),
        f"{arguments.out}: {len(pairs)} captions in prompts.txt, their pictures in pictures/",
    )
    return 0


def chosen(pairs: Sequence[tuple[str, str]], count: int, seed: int) -> list[tuple[str, str]]:
    """Return `count` of the pairs as the paper draws them. Raises UsageError where there are fewer."""
    import numpy as np

    if not 1 <= count <= len(pairs):
        raise UsageError(f"--count {count}: give 1 to {len(pairs)}, the pictures that have a caption")
    drawn = np.random.RandomState(seed).choice(len(pairs), count, replace=False)
    return [pairs[i] for i in drawn]


def _pairs(coco: Path) -> list[tuple[str, str]]:
    """Return the file and the first caption of each picture, in the captions' order. Raises DataError."""
    path = coco / "annotations" / f"captions_{PART}.json"
    try:
        body = json.loads(read_source(path, MOST_BYTES))
        names = {image["id"]: str(image["file_name"]) for image in body["images"]}
        firsts: dict[Any, str] = {}
        for annotation in body["annotations"]:
            firsts.setdefault(annotation["image_id"], " ".join(annotation["caption"].split()))
        return [(names[image], caption) for image, caption in firsts.items()]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give the folder of COCO 2014") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no file of COCO's captions ({error!r}); fetch it again") from error


def _folder(coco: Path) -> Path:
    for folder in (coco / PART, coco / "images" / PART):
        if folder.is_dir():
            return folder
    raise DataError(f"{coco} has neither {PART}/ nor images/{PART}/ with the pictures")


if __name__ == "__main__":
    run(main)
