"""The options that name a source of `aptp.data`, and a cache of it, on a command line."""

import argparse
from pathlib import Path


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add `--data` to `parser`."""
    kinds = "scenes, coco:DIR, cc3m:DIR, pixelprose:DIR, folder:DIR"
    parser.add_argument("--data", default="scenes", metavar="NAME[:DIR]", help=f"captioned images: {kinds}")


def add_latents(parser: argparse.ArgumentParser) -> None:
    """Add `--latents` to `parser`."""
    parser.add_argument(
        "--latents", type=Path, metavar="DIR", help="read this cache, of python -m aptp.encode, not pictures"
    )
