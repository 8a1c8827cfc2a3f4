"""`python -m aptp.train`: stage 1, learn the router and the codes of a pipeline."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from aptp.data.option import add_training_data
from runtime.cli.parser import Parser, run
from runtime.cli.terminal import open_console, quieten, say
from runtime.cli.values import size

if TYPE_CHECKING:
    from aptp.train.router_fit import Usage

DESCRIPTION = "Learn which parts of a dense pipeline a prompt can do without: a router and K codes."


def _arguments() -> argparse.Namespace:
    from aptp.checkpoint.record import GUIDANCE
    from aptp.trainer.options import add_memory, add_options

    parser = Parser(prog="python -m aptp.train", extra="train", description=DESCRIPTION)
    parser.add_argument(
        "--from", dest="source", type=Path, required=True, metavar="DIR", help="a local diffusers folder"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint to make")
    parser.add_argument("--preset", default="tiny", help="the method: tiny (ours) or paper (as published)")
    parser.add_argument("--num-codes", dest="codes", metavar="K", help="how many codes")
    parser.add_argument("--budget", metavar="P", help="mean share of the dense cost")
    parser.add_argument(
        "--cost", type=Path, metavar="FILE", help="a profile, to count seconds of a machine instead of MACs"
    )
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], metavar="NAME=VALUE", help="of the method"
    )
    parser.add_argument("--size", type=size, metavar="WxH", help="that will be served (the pipeline's own)")
    parser.add_argument(
        "--guidance", type=float, default=GUIDANCE, metavar="G", help="that images are drawn with by default"
    )
    add_training_data(parser)
    parser.add_argument(
        "--prompt-encoder",
        type=Path,
        metavar="DIR",
        help="route by this transformers encoder (all-mpnet-base-v2, say), not by the pipeline's own",
    )
    add_memory(parser)
    add_options(parser)
    arguments: argparse.Namespace = parser.parse_args()
    for name in ("codes", "budget"):
        if getattr(arguments, name) is not None:
            arguments.changes.append(f"{name}={getattr(arguments, name)}")
    return arguments


def main() -> int:
    arguments = _arguments()
    terminal = open_console()
    with terminal.status("starting"):
        quieten()
        from aptp.components.config_file import read_config
        from aptp.components.scheduler import FILE, replaced
        from aptp.train.method import PRECISIONS, RECIPES, method
        from aptp.train.run import RouterTask
        from aptp.train.stage import train
        from aptp.trainer.options import recipe_of, run_folder, run_options

    config = arguments.source / "scheduler" / FILE
    if config.is_file() and (told := replaced(read_config(config))):
        say(terminal, told)
    task = RouterTask(
        arguments.source,
        arguments.data,
        method(arguments.preset, arguments.changes),
        recipe_of(arguments, RECIPES[arguments.preset]),
        arguments.size and (arguments.size.height, arguments.size.width),
        arguments.guidance,
        arguments.cost,
        arguments.prompt_encoder,
        arguments.train_size and (arguments.train_size.height, arguments.train_size.width),
        arguments.latents,
    )
    options = run_options(arguments, PRECISIONS[arguments.preset])
    memory = {"recompute": arguments.recompute, "at_once": arguments.at_once}
    found = train(task, arguments.out, run_folder(arguments), options, **memory)
    if found is None:
        return 1
    _report(terminal, arguments, found)
    return 0


def _report(terminal: Console, arguments: argparse.Namespace, found: "Usage") -> None:
    out, unit = arguments.out, f"seconds, by {arguments.cost}" if arguments.cost else "MACs"
    given = {
        "--data": arguments.data,
        "--train-size": arguments.train_size,
        "--latents": arguments.latents,
    }
    same = "".join(f" {option} {value}" for option, value in given.items() if value)
    table = Table("code", "of dense", "of held-out prompts")
    for code, (cost, share) in enumerate(zip(found.costs, found.use, strict=True)):
        table.add_row(str(code), f"{cost:.3f}", f"{share:.3f}")
    terminal.print(table)
    for line in (
        f"mean budget of held-out prompts as the router sends them: {found.budget:.4f} of dense {unit}",
        f"the router sends {found.agreement:.1%} of them where the method's own rule does",
        f"{out} is ready; next: python -m aptp.finetune --checkpoint {out} --codes all{same} --out …",
    ):
        say(terminal, line)


if __name__ == "__main__":
    run(main)
