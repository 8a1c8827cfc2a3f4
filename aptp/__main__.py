"""`aptp VERB …`: every command of this project under one name. It imports no verb but the one that runs."""

import argparse
import runpy
import sys
from typing import NamedTuple, NoReturn

from aptp.version import __version__
from runtime.cli.parser import Parser, run
from runtime.errors import UsageError, nearest


class Verb(NamedTuple):
    """A command: `module` is what `python -m` runs, `summary` its line in the help."""

    module: str
    summary: str


VERBS = {
    "generate": Verb("runtime.generate", "draw prompts with a bundle"),
    "serve": Verb("runtime.serve", "serve a bundle over HTTP"),
    "bench": Verb("runtime.bench", "measure what a bundle costs on this machine"),
    "build": Verb("export.build", "make a bundle from a checkpoint"),
    "verdict": Verb("export.judge", "let engines take eight bits that images have shown to be good"),
    "profile": Verb("export.profile", "measure what each part of a UNet costs on this machine"),
    "lint": Verb("export.lint", "check graphs against what TensorRT's parser documents"),
    "pretrain": Verb("aptp.pretrain", "train the small dense pipeline that ships here"),
    "encode": Verb("aptp.encode", "cache latents and text embeddings, so that training is faster"),
    "train": Verb("aptp.train", "stage 1: learn the router and the codes of a pipeline"),
    "finetune": Verb("aptp.finetune", "stage 2: train the experts of a checkpoint"),
    "merge": Verb("aptp.merge", "make one checkpoint of experts that were tuned apart"),
    "new": Verb("aptp.new", "make a checkpoint with random codes"),
    "convert": Verb("aptp.convert", "make a checkpoint of published experts"),
    "ood": Verb("aptp.ood", "send prompts unlike those of the training to one expert"),
    "evaluate": Verb("aptp.evaluate", "draw and judge held-out captions"),
    "score": Verb("aptp.score", "score pictures: FID, KID, CMMD, CLIP score"),
    "coco30k": Verb("aptp.score.coco30k", "list the captions of COCO that the paper draws"),
    "judge": Verb("aptp.evaluate.judge", "measure the judge, or train one"),
    "analyse": Verb("aptp.analyse", "show what a router learned, as a page"),
}


def main() -> int:
    """Run the verb that the command line names; the verb leaves the process. Raises `UsageError`."""
    words = sys.argv[1:]
    if not words or words[0].startswith("-"):
        parser = _parser()
        parser.parse_args(words)
        parser.print_help()
        return 0
    name, *rest = words
    if name not in VERBS:
        raise UsageError(f"unknown command {name!r}{nearest(name, VERBS)}; see aptp --help")
    Parser.called = f"aptp {name}"
    sys.argv[1:] = rest
    # As `python -m` does: child processes that are spawned find the verb's module as their main one.
    runpy.run_module(VERBS[name].module, run_name="__main__", alter_sys=True)
    return 0


def script() -> NoReturn:
    """Run `main` as the installed command."""
    run(main)


def _parser() -> Parser:
    rows = [f"  {name:<10}{verb.summary}" for name, verb in VERBS.items()]
    parser = Parser(
        prog="aptp",
        usage="aptp COMMAND …",
        description="Prompt-routed, pruned Stable Diffusion: train it, build fast engines, serve them.",
        epilog="\n".join(["commands:", *rows, "", "aptp COMMAND --help lists a command's options."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"aptp {__version__}")
    return parser


if __name__ == "__main__":
    run(main)
