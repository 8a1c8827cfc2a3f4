"""What the command lines of this package share: errors that name the nearest right option, and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from aptp.errors import AptpError, nearest


class Parser(argparse.ArgumentParser):
    """ArgumentParser without abbreviations, whose errors suggest the option that was meant."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            allow_abbrev=False, formatter_class=argparse.ArgumentDefaultsHelpFormatter, **options
        )

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            self.error(f"unknown argument '{unknown[0]}'{nearest(unknown[0].partition('=')[0], options)}")
        return found

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def quieten() -> None:
    """Keeps the advice of the libraries below us off the user's terminal; call it before importing them."""
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


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
