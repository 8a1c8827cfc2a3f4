"""`python -m aptp.finetune`: stage 2, train the experts of a checkpoint."""

import argparse
from pathlib import Path

from aptp.data.option import add_training_data
from runtime.cli.parser import Parser, run
from runtime.cli.terminal import open_console, quieten, say
from runtime.errors import UsageError

DESCRIPTION = "Fine-tune a checkpoint's experts, each on the prompts routed to it."


def _arguments() -> argparse.Namespace:
    from aptp.finetune.weights import ExpertLossWeights
    from aptp.trainer.fields import add_fields
    from aptp.trainer.options import add_memory, add_options

    parser = Parser(prog="python -m aptp.finetune", extra="train", description=DESCRIPTION)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="what aptp.train made")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint to make")
    parser.add_argument(
        "--preset", default="tiny", help="tiny (ours), paper-coco or paper-cc3m (as published)"
    )
    parser.add_argument("--codes", default="all", help="the experts to train: all, or 0,2")
    add_training_data(parser)
    add_memory(parser)
    add_fields(parser.add_argument_group("the loss (defaults: the preset's)"), ExpertLossWeights)
    add_options(parser, draws=True)
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
    terminal = open_console()
    with terminal.status("starting"):
        quieten()
        from aptp.checkpoint.reader import Checkpoint
        from aptp.finetune.presets import preset
        from aptp.finetune.run import ExpertTask
        from aptp.finetune.stage import finetune
        from aptp.trainer.fields import changed
        from aptp.trainer.options import recipe_of, run_folder, run_options

    usual = preset(arguments.preset)
    recipe, weights = recipe_of(arguments, usual.recipe), changed(usual.weights, arguments)
    checkpoint = Checkpoint.open(arguments.checkpoint)
    task = ExpertTask(
        checkpoint,
        _codes(arguments.codes, len(checkpoint.record.codes)),
        arguments.data,
        recipe,
        weights,
        arguments.train_size and (arguments.train_size.height, arguments.train_size.width),
        arguments.latents,
    )
    finished = finetune(
        task,
        arguments.out,
        run_folder(arguments),
        run_options(arguments, usual.precision),
        recompute=arguments.recompute,
        at_once=arguments.at_once,
    )
    if not finished:
        return 1
    ready = f"{arguments.out} is ready; next: python -m export.build --checkpoint {arguments.out} --codes all"
    say(terminal, ready)
    return 0


if __name__ == "__main__":
    run(main)
