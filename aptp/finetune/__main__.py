"""`python -m aptp.finetune`: stage 2, train the experts of a checkpoint."""

import argparse
from dataclasses import asdict
from pathlib import Path

from aptp.data.option import add_data, add_latents
from aptp.finetune.weights import ExpertLossWeights
from runtime.cli.parser import Parser, run
from runtime.cli.terminal import open_console, quieten, say
from runtime.errors import UsageError

DESCRIPTION = "Fine-tune a checkpoint's experts, each on the prompts routed to it."


def _arguments() -> argparse.Namespace:
    from aptp.trainer.options import add_options

    parser = Parser(prog="python -m aptp.finetune", extra="train", description=DESCRIPTION)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="what aptp.train made")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint to make")
    parser.add_argument("--codes", default="all", help="the experts to train: all, or 0,2")
    add_data(parser)
    add_latents(parser)
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing: less memory")
    weights = parser.add_argument_group("weights of the loss's terms")
    for name, usual in asdict(ExpertLossWeights()).items():
        weights.add_argument(f"--{name}", type=float, default=usual, metavar="W", help=f"{usual:g}")
    add_options(parser)
    arguments: argparse.Namespace = parser.parse_args()
    return arguments


def _codes(text: str, count: int) -> list[int]:
    if text == "all":
        return list(range(count))
    try:
        codes = sorted({int(code) for code in text.split(",")})
    except ValueError as error:
        raise UsageError(f"--codes '{text}' is neither 'all' nor a list such as 0,2") from error
    if codes[0] < 0 or codes[-1] >= count:
        raise UsageError(f"--codes {text}: the checkpoint has codes 0 to {count - 1}")
    return codes


def main() -> int:
    arguments = _arguments()
    weights = ExpertLossWeights(arguments.diffusion, arguments.output, arguments.blocks)
    terminal = open_console()
    with terminal.status("starting"):
        quieten()
        from aptp.checkpoint.reader import Checkpoint
        from aptp.finetune.stage import RECIPE, finetune
        from aptp.trainer.options import recipe_of, run_folder, run_options

        checkpoint = Checkpoint.open(arguments.checkpoint)
    finished = finetune(
        checkpoint,
        arguments.out,
        _codes(arguments.codes, len(checkpoint.record.codes)),
        data=arguments.data,
        recipe=recipe_of(arguments, RECIPE),
        weights=weights,
        options=run_options(arguments),
        folder=run_folder(arguments),
        recompute=arguments.recompute,
        latents=arguments.latents,
    )
    if not finished:
        return 1
    ready = f"{arguments.out} is ready; next: python -m export.build --checkpoint {arguments.out} --codes all"
    say(terminal, ready)
    return 0


if __name__ == "__main__":
    run(main)
