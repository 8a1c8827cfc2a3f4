"""The option that names a source of `aptp.data` on a command line."""

import argparse


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add `--data` to `parser`."""
    kinds = "scenes, coco:DIR, cc3m:DIR, pixelprose:DIR, webdataset:DIR, folder:DIR"
    parser.add_argument("--data", default="scenes", metavar="NAME[:DIR]", help=f"captioned images: {kinds}")
