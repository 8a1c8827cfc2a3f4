"""Every error of the tree crosses between processes whole, whatever its constructor takes."""

import ast
import copy
import inspect
import pickle
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import AptpError

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
