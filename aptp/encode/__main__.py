"""`python -m aptp.encode`: latents and text embeddings that training reads in place of pictures."""

import argparse
from pathlib import Path

from aptp.data.option import add_data
from aptp.encode.choices import PRECISIONS
from runtime.cli.parser import Parser, run
from runtime.cli.progress import Counting
from runtime.cli.terminal import open_console, quieten, say
from runtime.cli.values import size

DESCRIPTION = "Encode captioned images once, so that training need not encode them in every step."


def _arguments() -> argparse.Namespace:
    parser = Parser(prog="python -m aptp.encode", extra="train", description=DESCRIPTION)
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        required=True,
        metavar="DIR",
        help="a diffusers folder or checkpoint",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the cache to make, or go on with"
    )
    add_data(parser)
    parser.add_argument("--samples", type=int, metavar="N", help="how many (one pass over the data)")
    parser.add_argument(
        "--size",
        type=size,
        metavar="WxH",
        help="that is trained at (what a checkpoint serves, or the pipeline's own)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of order and crops, as in training")
    parser.add_argument(
        "--mixed-precision",
        dest="precision",
        default="bf16",
        choices=("bf16", "fp16", "no"),
        help="of the VAE: give that of the training (no for the paper's presets)",
    )
    parser.add_argument(
        "--text",
        default=PRECISIONS[0],
        choices=PRECISIONS,
        help="how text embeddings are kept; none: not at all",
    )
    parser.add_argument("--batch", type=int, default=64, help="samples encoded at once")
    parser.add_argument("--workers", type=int, default=0, help="processes that load pictures ahead")
    arguments: argparse.Namespace = parser.parse_args()
    return arguments


def main() -> int:
    arguments = _arguments()
    terminal = open_console()
    with terminal.status("starting"):
        quieten()
        from aptp.encode.making import Making
        from aptp.encode.task import EncodeTask, Opened
        from aptp.trainer.precision import warning

        task = EncodeTask(
            arguments.source,
            arguments.data,
            arguments.samples,
            arguments.size and (arguments.size.height, arguments.size.width),
            arguments.seed,
            arguments.precision,
            arguments.text,
            arguments.batch,
            arguments.workers,
        )
        opened = Opened.open(task)
        progress = Counting(terminal)
        making = Making(opened, arguments.out, progress.tell)
    say(
        terminal,
        f"{opened.samples:,} samples: {_amount(making.latents)} of latents and at most "
        f"{_amount(making.text)} of text; {_amount(making.room)} are free at {arguments.out}",
    )
    if slow := warning(task.precision, opened.device):
        say(terminal, slow)
    making.check_room()
    with progress:
        made = making.run()
    if made.broken:
        say(terminal, f"broken pictures passed over: {made.broken}")
    say(
        terminal,
        f"{arguments.out} is ready: {opened.samples:,} samples, {made.captions:,} captions; "
        f"next: python -m aptp.train or aptp.finetune with --latents {arguments.out}",
    )
    return 0


def _amount(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 10**9 else f"{count / 1e6:.1f} MB"


if __name__ == "__main__":
    run(main)
