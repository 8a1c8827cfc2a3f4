"""The options that name a source of `aptp.data`, and a cache of it, on a command line."""

import argparse
from pathlib import Path

from runtime.cli.values import size
from runtime.errors import UsageError

PICTURES = "coco:DIR, cc3m:DIR, pixelprose:DIR, webdataset:DIR, folder:DIR"
SCENES = "scenes"


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add `--data` to `parser`; where nobody says it, `chosen` decides."""
    parser.add_argument(
        "--data",
        metavar="NAME[:DIR]",
        help=f"captioned images: {PICTURES}; or scenes, which the default's kind of pipeline takes unasked",
    )


def add_training_data(parser: argparse.ArgumentParser) -> None:
    """Add `--data`, the size that its pictures are made, and a cache that is read in their place."""
    add_data(parser)
    parser.add_argument(
        "--train-size",
        type=size,
        metavar="WxH",
        help="of the pictures in training (the size that will be served)",
    )
    parser.add_argument(
        "--latents", type=Path, metavar="DIR", help="read this cache, of python -m aptp.encode, not pictures"
    )


def chosen(data: str | None, folder: object, *, draws_scenes: bool) -> str:
    """Return the name of the data that `--data` gave; scenes where it gave none, and the pipeline in
    `folder` `draws_scenes`. Raises UsageError for any other pipeline.
    """
    if data is None and not draws_scenes:
        raise UsageError(
            f"--data is missing: {folder} is not of the default's kind, which is trained on rendered scenes; "
            f"give {PICTURES}"
        )
    return SCENES if data is None else data
