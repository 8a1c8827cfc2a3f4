"""Every command refuses a misspelt option, a missing one and an unknown choice in one line, of one form."""

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aptp.__main__ import VERBS
from aptp.version import __version__
from runtime.cli.extras import EXTRAS
from runtime.cli.parser import Parser, run
from runtime.errors import AptpError

ROOT = Path(__file__).resolve().parent.parent
# Not for people: the benchmark starts it, in an interpreter that may have nothing of ours.
INTERNAL = {"bench.peers"}
# The rooms that `aptp` stands on.
FLOOR = {"cli", "errors"}


def guard(path: Path) -> str:
    """Return what the module does in the end when it is run, as text; empty where it cannot be run."""
    for node in reversed(ast.parse(path.read_text()).body):
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
PRODUCT = {name for name in COMMANDS if not name.startswith("bench.")}


def called(command: str) -> str:
    """Return what help and messages call it."""
    return command if command == "aptp" else f"python -m {command}"


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


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_command_is_called_what_its_messages_say(command: str) -> None:
    assert parser(command).prog == called(command)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_misspelt_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = [option for action in parser(command)._actions for option in action.option_strings]
    known = next((option for option in options if option.startswith("--") and option != "--help"), "--help")
    capsys.readouterr()
    assert call(command, known + "z", "value") == 2
    assert capsys.readouterr() == (
        "",
        f"error: unknown option '{known}z' (did you mean '{known}'?); see {called(command)} --help\n",
    )


def needs_something(parser: Parser) -> bool:
    # argparse calls what may be left out required as well, where it names no default.
    every = [action for action in parser._actions if action.nargs != "*"]
    return any(one.required for one in (*every, *parser._mutually_exclusive_groups))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_missing_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not needs_something(parser(command)):
        assert command.startswith(("runtime.", "bench.", "aptp.evaluate.judge")) or command == "aptp"
        return
    capsys.readouterr()
    assert call(command) == 2
    out, told = capsys.readouterr()
    assert out == ""
    assert told.startswith(("error: the following arguments are required: ", "error: one of the arguments "))
    assert told.endswith(f"; see {called(command)} --help\n")
    assert told.count("\n") == 1


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_an_unknown_choice(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    choosing = [action for action in parser(command)._actions if action.choices and action.option_strings]
    capsys.readouterr()
    for action in choosing:
        known, option = str(next(iter(action.choices or ()))), action.option_strings[0]
        assert call(command, option, f"{known}0") == 2
        out, told = capsys.readouterr()
        assert out == ""
        assert told.startswith(f"error: argument {option}: invalid choice: ")
        assert told.endswith(f"; see {called(command)} --help\n")
        assert told.count("\n") == 1
        if action.type is None:
            assert "(did you mean " in told


# A command line of each command that needs an extra: enough of it for the parser.
COMPLETE = {
    "aptp.analyse": ("--checkpoint", "c", "--out", "o"),
    "aptp.convert": ("--from", "f", "--pipeline", "p", "--prompt-encoder", "e", "--out", "o"),
    "aptp.encode": ("--from", "f", "--out", "o"),
    "aptp.evaluate": ("--checkpoint", "c", "--out", "o"),
    "aptp.evaluate.judge": (),
    "aptp.finetune": ("--checkpoint", "c", "--out", "o"),
    "aptp.merge": ("a", "b", "--out", "o"),
    "aptp.new": ("--preset", "tiny", "--out", "o"),
    "aptp.ood": ("--checkpoint", "c", "--out", "o"),
    "aptp.pretrain": ("--out", "o"),
    "aptp.score.coco30k": ("--coco", "c", "--out", "o"),
    "aptp.score": ("--pictures", "p", "--out", "o"),
    "aptp.train": ("--from", "f", "--out", "o"),
    "export.build": ("--codes", "all", "--out", "o"),
    "export.judge": ("--bundle", "b", "--scores", "s", "--out", "o"),
    "export.lint": ("graph.onnx",),
    "export.profile": ("--checkpoint", "c", "--out", "o"),
}


def test_every_command_that_trains_or_exports_names_its_extra() -> None:
    named = {command for command in PRODUCT if parser(command)._extra}
    assert named == {name for name in PRODUCT if not name.startswith("runtime.")} - {"aptp"}
    assert named == set(COMPLETE)


@pytest.mark.parametrize("command", sorted(COMPLETE))
def test_a_missing_module(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = parser(command)._extra
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "torch", None)
    assert call(command, *COMPLETE[command]) == 3
    assert capsys.readouterr() == (
        "",
        f"error: {called(command)} needs torch; install with `pip install 'aptp[{extra}]'`\n",
    )


@pytest.mark.parametrize("words", [("-m", "aptp.train"), ("-m", "aptp", "train")], ids=" ".join)
def test_an_install_that_serves_only(words: tuple[str, ...], tmp_path: Path) -> None:
    absent = f"import sys\nsys.modules.update(dict.fromkeys({EXTRAS['train']}))\n"
    (tmp_path / "sitecustomize.py").write_text(absent)
    done = subprocess.run(
        [sys.executable, *words, *COMPLETE["aptp.train"]],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    named = ("python " if len(words) == 2 else "") + " ".join(words[-2:])
    assert (done.returncode, done.stdout) == (3, "")
    missing = ", ".join(EXTRAS["train"])
    assert done.stderr == f"error: {named} needs {missing}; install with `pip install 'aptp[train]'`\n"


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_its_modules(extra: str) -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    def names(extra: str) -> Iterator[str]:
        for requirement in listed[extra]:
            name = re.split(r"[^\w-]", requirement)[0]
            if name == "aptp":
                yield from names(requirement.partition("[")[2].partition("]")[0])
            else:
                yield {"POT": "ot"}.get(name, name.replace("-", "_"))

    assert set(names(extra)) == set(EXTRAS[extra])


def aptp(*words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parser, "called", None)
        return call("aptp", *words)


def test_every_command_of_the_product_is_a_verb() -> None:
    assert {verb.module for verb in VERBS.values()} == PRODUCT - {"aptp"}
    assert len({verb.module for verb in VERBS.values()}) == len(VERBS)
    for name, verb in VERBS.items():
        assert name in {verb.module.split(".")[-1], "judge", "verdict"}  # two modules are called judge


@pytest.mark.filterwarnings("ignore:.*found in sys.modules after import:RuntimeWarning")
@pytest.mark.parametrize("name", VERBS)
def test_a_verb_is_called_what_was_typed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert aptp(name, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: aptp {name} ")
    assert aptp(name, "--no-such-option") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: unknown option '--no-such-option'")
    assert told.endswith(f"; see aptp {name} --help\n")


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)], ids=" ".join)
def test_aptp_lists_its_verbs(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert aptp(*words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name, verb in VERBS.items():
        assert f"\n  {name:<10}{verb.summary}\n" in out


def test_aptp_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert aptp("--version") == 0
    assert capsys.readouterr() == (f"aptp {__version__}\n", "")


@pytest.mark.parametrize(
    ("verb", "hint"), [("generat", " (did you mean 'generate'?)"), ("runtime.serve", ""), ("", "")]
)
def test_an_unknown_verb(verb: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert aptp(verb, "--seed", "3") == 2
    assert capsys.readouterr() == ("", f"error: unknown command {verb!r}{hint}; see aptp --help\n")


def test_aptp_imports_nothing_of_weight() -> None:
    code = "import sys, aptp.__main__ as face; print({*sys.modules}); face.script()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = set(ast.literal_eval(done.stdout.splitlines()[0]))
    assert not loaded & {"numpy", "onnxruntime", "PIL", "rich", "tokenizers", "torch", "diffusers", "kernels"}
    assert not [name for name in loaded if name.startswith("runtime.") and name.split(".")[1] not in FLOOR]
