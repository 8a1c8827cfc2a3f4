"""Command lines: a parser whose errors name the nearest right word, and exit codes from the error tree."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn

from runtime.cli.extras import check_installed
from runtime.cli.output import open_missing
from runtime.errors import AptpError, UsageError, nearest


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations, whose errors are a `UsageError` that names the nearest right word.

    `called` is what the user typed to run the command, where that is not `prog`. `extra` names the extra of
    this distribution that the command cannot do without.
    """

    called: ClassVar[str | None] = None

    def __init__(self, *, prog: str, extra: str | None = None, **options: Any) -> None:
        super().__init__(prog=self.called or prog, allow_abbrev=False, **options)
        self._extra = extra
        self._arguments: list[str] = []

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse `args` (default: the process's own). Raises `UsageError`.

        Raises `EnvironmentMismatch` where a module of `extra` is not installed.
        """
        self._arguments = list(sys.argv[1:] if args is None else args)
        parsed, unknown = self.parse_known_args(self._arguments, namespace)
        # argparse takes `--misspelt=some text` for a positional argument, because it holds a space.
        if unknown := unknown or self._misspelt():
            raise UsageError(self._unknown(unknown))
        if self._extra:
            check_installed(self._extra, self.prog)
        return parsed

    def error(self, message: str) -> NoReturn:
        """Raise a `UsageError`, so that parsing fails the way everything else does.

        A misspelt option comes first: that a required one is missing may only be what follows from it.
        """
        if misspelt := self._misspelt():
            raise UsageError(self._unknown(misspelt))
        choice = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
        if choice:
            message += nearest(choice[1], re.findall(r"[\w.-]+", choice[2]))
        raise UsageError(f"{message}; see {self.prog} --help")

    def _unknown(self, arguments: Sequence[str]) -> str:
        options = [text.partition("=")[0] for text in arguments if text.startswith("-")]
        if not options:
            return f"unexpected argument {arguments[0]!r}; see {self.prog} --help"
        return f"unknown option {options[0]!r}{nearest(options[0], self._known())}; see {self.prog} --help"

    def _misspelt(self) -> list[str]:
        # What argparse takes for options: not what follows a lone `--`, nor text with a space in it.
        end = self._arguments.index("--") if "--" in self._arguments else len(self._arguments)
        words = [text.partition("=")[0] for text in self._arguments[:end] if text.startswith("--")]
        return [word for word in words if " " not in word and word not in self._known()]

    def _known(self) -> list[str]:
        return [option for action in self._actions for option in action.option_strings]


def add_cache(to: argparse._ActionsContainer) -> None:
    """Add the options of the folder for derived files."""
    to.add_argument(
        "--cache",
        metavar="DIR",
        help="derived files: a folder of yours that nobody else can write (default: $XDG_CACHE_HOME/aptp)",
    )
    to.add_argument("--cache-group-writable", action="store_true", help="trust the group of that folder, too")


def run(main: Callable[[], int | None]) -> NoReturn:
    """Leave the process with `main`'s exit code, or show an error of ours and leave with its `exit_code`."""
    open_missing()
    try:
        code = main() or 0
    except AptpError as failure:
        sys.stderr.write(f"error: {failure}\n")
        code = failure.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = 130
    sys.exit(code)
