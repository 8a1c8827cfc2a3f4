"""Every command refuses a misspelt option, a missing one and an unknown choice in one line, of one form."""

import ast
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from runtime.cli.parser import Parser, run
from runtime.errors import AptpError

ROOT = Path(__file__).resolve().parent.parent
# Not for people: the benchmark starts it, in an interpreter that may have nothing of ours.
INTERNAL = {"bench.peers"}
# These have no options.
BARE = {"bench.runtime_overhead"}


def guard(path: Path) -> str:
    """Return what the module does when it is run, as text; empty where it cannot be run."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'":
            return "\n".join(map(ast.unparse, node.body))
    return ""


def commands() -> dict[str, Path]:
    found = {}
    for package in ("aptp", "bench", "export", "runtime"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if guard(path):
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
                found[name] = path
    return {name: path for name, path in found.items() if name not in INTERNAL}


COMMANDS = commands()
PARSED = sorted(set(COMMANDS) - BARE)


def call(command: str, *words: str) -> int:
    """The exit code of the command, called in this process."""
    path = COMMANDS[command]
    module: Any = importlib.import_module(command + (".__main__" if path.stem == "__main__" else ""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [command, *words])
        with pytest.raises(SystemExit) as leaving:
            run(module.main)
    return int(leaving.value.code or 0)


class Captured(AptpError):
    """Carries a parser out of the command that made it."""


@contextmanager
def captured() -> Iterator[list[Parser]]:
    found: list[Parser] = []

    def capture(self: Parser, *_: Any, **__: Any) -> None:
        found.append(self)
        raise Captured

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parser, "parse_args", capture)
        yield found


@cache
def parser(command: str) -> Parser:
    with captured() as found:
        call(command)
    return found[0]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_command_ends_as_all_do(command: str) -> None:
    assert guard(COMMANDS[command]) == "run(main)"


@pytest.mark.parametrize("command", PARSED)
def test_a_command_is_called_what_its_messages_say(command: str) -> None:
    assert parser(command).prog == f"python -m {command}"


@pytest.mark.parametrize("command", PARSED)
def test_a_misspelt_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = [option for action in parser(command)._actions for option in action.option_strings]
    known = next((option for option in options if option.startswith("--") and option != "--help"), "--help")
    capsys.readouterr()
    assert call(command, known + "z", "value") == 2
    assert capsys.readouterr() == (
        "",
        f"error: unknown option '{known}z' (did you mean '{known}'?); see python -m {command} --help\n",
    )


def needs_something(parser: Parser) -> bool:
    # argparse calls what may be left out required as well, where it names no default.
    every = [action for action in parser._actions if action.nargs != "*"]
    return any(one.required for one in (*every, *parser._mutually_exclusive_groups))


@pytest.mark.parametrize("command", PARSED)
def test_a_missing_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not needs_something(parser(command)):
        assert command.startswith(("runtime.", "bench.", "aptp.evaluate.judge"))
        return
    capsys.readouterr()
    assert call(command) == 2
    out, told = capsys.readouterr()
    assert out == ""
    assert told.startswith(("error: the following arguments are required: ", "error: one of the arguments "))
    assert told.endswith(f"; see python -m {command} --help\n")
    assert told.count("\n") == 1


@pytest.mark.parametrize("command", PARSED)
def test_an_unknown_choice(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    choosing = [action for action in parser(command)._actions if action.choices and action.option_strings]
    capsys.readouterr()
    for action in choosing:
        known, option = str(next(iter(action.choices or ()))), action.option_strings[0]
        assert call(command, option, f"{known}0") == 2
        out, told = capsys.readouterr()
        assert out == ""
        assert told.startswith(f"error: argument {option}: invalid choice: ")
        assert told.endswith(f"; see python -m {command} --help\n")
        assert told.count("\n") == 1
        if action.type is None:
            assert "(did you mean " in told
