"""What the command lines of this package share: errors that name the nearest right option, and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from rich.console import Console
from rich.status import Status

from aptp.errors import AptpError, nearest


class Parser(argparse.ArgumentParser):
    """ArgumentParser without abbreviations, whose errors suggest the option that was meant."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
        self._words: Sequence[str] = ()

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._words = sys.argv[1:] if args is None else args
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unexpected argument '{unknown[0]}'")
        return found

    def error(self, message: str) -> NoReturn:
        # A misspelt option is the likeliest reason for whatever else is missing or left over.
        known = [option for action in self._actions for option in action.option_strings]
        options = [word.partition("=")[0] for word in self._words if word.startswith("--")]
        unknown = [option for option in options if option not in known]
        if unknown:
            message = f"unknown option '{unknown[0]}'{nearest(unknown[0], known)}"
        self.exit(2, f"error: {message}\n{self.format_usage()}")


def add_data(parser: argparse.ArgumentParser) -> None:
    """The option that names a source of `aptp.data`."""
    kinds = "scenes, coco:DIR, cc3m:DIR, pixelprose:DIR, folder:DIR"
    parser.add_argument("--data", default="scenes", metavar="NAME[:DIR]", help=f"captioned images: {kinds}")


def console() -> Console:
    """The terminal, of which a launcher of several processes gives one to the first alone."""
    return Console(stderr=True, quiet=os.environ.get("RANK", "0") != "0")


def quieten() -> None:
    """Keeps the advice of the libraries below us off the user's terminal; call it before importing them."""
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):  # the bars shown here are our own
        os.environ.setdefault(name, "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


def stages(console: Console, status: Status) -> Callable[[str], None]:
    """Tells the user which stage begins: in the status line, or on a line of its own without a terminal."""

    def tell(stage: str) -> None:
        status.update(stage)
        if not console.is_terminal:
            console.print(stage)

    return tell


def run(main: Callable[[], int]) -> NoReturn:
    """Runs a command and exits: errors of ours become one message and their exit code, never a traceback."""
    try:
        sys.exit(main())
    except AptpError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
