"""Every error of the tree crosses between processes whole, whatever its constructor takes."""

import ast
import copy
import inspect
import pickle
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from runtime import errors
from runtime.errors import AptpError, RuntimeFailure

ROOT = Path(__file__).resolve().parent.parent
# By the annotation of a constructor's parameter.
GIVEN: dict[Any, Any] = {
    str: "what is wrong",
    str | None: "field",
    int: 503,
    int | None: 2,
    float: 1.5,
    Path: Path("here"),
    bool: True,
}


def modules() -> Iterator[str]:
    """The modules that define an exception, by the names of its bases."""
    for package in ("aptp", "export", "kernels", "runtime"):
        for path in sorted((ROOT / package).rglob("*.py")):
            bases = (
                ast.unparse(base)
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.ClassDef)
                for base in node.bases
            )
            if any(base.endswith(("Error", "Exception", "Failure", "Refused", "Rejected")) for base in bases):
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


def below(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for child in kind.__subclasses__():
        yield child
        yield from below(child)


def kinds() -> list[type[BaseException]]:
    found = [import_module(name) for name in modules()]
    return [
        each
        for module in found
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, BaseException) and each.__module__ == module.__name__
    ]


def made(kind: type[BaseException]) -> BaseException:
    """One of a kind, by the annotations of its constructor."""
    if kind.__init__ in (Exception.__init__, ValueError.__init__, AptpError.__init__):
        return kind("what is wrong")
    parameters = list(inspect.signature(kind).parameters.values())
    positional = [GIVEN[each.annotation] for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    named = {each.name: GIVEN[each.annotation] for each in parameters if each.kind is each.KEYWORD_ONLY}
    return kind(*positional, **named)


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "through", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy]
)
def test_an_error_crosses_whole(kind: type[BaseException], through: Any) -> None:
    error = made(kind)
    error.add_note("told on the way")
    found = through(error)
    assert type(found) is kind
    assert (str(found), found.args, vars(found)) == (str(error), error.args, vars(error))


def test_none_is_left_out() -> None:
    ours = {kind for kind in below(AptpError) if not kind.__module__.startswith("tests.")}
    assert ours <= {*kinds()}
    assert len(kinds()) > 30


# Kinds that serving a bundle never raises, kinds that C++ tells by their base, and groups of kinds.
NOT_IN_CPP = {
    "SpaceError", "BudgetError", "TableError", "CheckpointError", "DataError", "ScheduleError", "WeightError",
    "PeerFailure", "EncoderError",
    "FieldError", "Quarantined",
    "LockedError",  # the runtime locks its cache alone: CacheFailure
    "Refused", "Rejected",
}  # fmt: skip


def test_cpp_has_the_same_kinds_of_errors() -> None:
    text = (ROOT / "cpp/errors.cpp").read_text()
    names = dict(re.findall(r"case Status::(\w+):\s+return \"(\w+)\"", text))
    assert names.pop("ok") == "ok"
    ours = {RuntimeFailure.__name__, *(kind.__name__ for kind in below(RuntimeFailure))}
    assert sorted(names.values()) == sorted(ours & set(vars(errors)) - NOT_IN_CPP)
    numbers = dict(re.findall(r"(\w+) = (\d+),", (ROOT / "cpp/errors.hpp").read_text()))
    header = (ROOT / "cpp/include/aptp.h").read_text()
    public = re.findall(r"APTP_\w+ = (-?\d+)\b", header[: header.index("} aptp_status;")])
    assert sorted(map(int, public)) == [-1, *sorted(int(numbers[name]) for name in ["ok", *names])]


def test_the_commands_end_with_the_same_codes() -> None:
    text = (ROOT / "cpp/generate/main.cpp").read_text()
    cases = text[text.index("int exit_code(") : text.index("default:")]
    refused = re.findall(r"APTP_(\w+)", cases[cases.index("USAGE;") :])
    kinds = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper(): getattr(errors, name) for name in vars(errors)}
    assert {kinds[name].exit_code for name in refused} == {errors.Refused.exit_code}
    shared = {kind.__name__ for kind in below(errors.Refused)} - NOT_IN_CPP
    assert {kinds[name].__name__ for name in refused} == shared
