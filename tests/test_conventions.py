"""The conventions of our Python, by syntax tree: imports, docstrings and dataclasses."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("aptp", "export", "kernels", "runtime", "bench", "tests", "examples")

# A docstring says what a thing is or does; a clause that begins so leaves the reader to find the subject.
NO_SUBJECT = {"Of", "What", "Who", "Whoever", "Whose", "Which", "Owns"}

CACHED = "keeps a cached_property in its dictionary"
# Dataclasses that cannot have slots, by `module:class`, and why not.
WITHOUT_SLOTS = {
    "aptp.analyse.landing:Landing": CACHED,
    "aptp.score.pictures:PictureSet": CACHED,
    "aptp.space.groups:Space": CACHED,
    "aptp.space.profile:Measured": CACHED,
    "aptp.space.profile:Profile": CACHED,
    "export.profile.measurement:Measurement": CACHED,
    "export.profile.pieces:Piece": CACHED,
}

# Modules whose annotations must stay text, and why.
TEXT_ANNOTATIONS: dict[str, str] = {}


@cache
def modules() -> dict[str, ast.Module]:
    """Parse every module of ours, by its dotted name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
    }


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield each docstring after its place."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, kinds) and (text := ast.get_docstring(node)):
                yield f"{name}:{getattr(node, 'name', '')}", text


def imports_from() -> Iterator[tuple[str, ast.ImportFrom]]:
    for name, tree in modules().items():
        yield from ((name, node) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))


def dataclasses() -> Iterator[tuple[str, bool]]:
    """Yield each dataclass of the product and its benchmarks by name, and whether it has slots."""
    for name, tree in modules().items():
        if name.startswith("tests."):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for decorator in map(ast.unparse, node.decorator_list):
                    if re.match(r"(dataclasses\.)?dataclass\b", decorator):
                        yield f"{name}:{node.name}", "slots=True" in decorator


def test_imports_are_absolute() -> None:
    assert [name for name, node in imports_from() if node.level] == []


def test_annotations_are_evaluated() -> None:
    found = {name for name, node in imports_from() if node.module == "__future__"}
    assert found == TEXT_ANNOTATIONS.keys()


def test_docstrings_have_a_subject_or_a_verb() -> None:
    assert [place for place, text in docstrings() if re.split(r"\W", text, maxsplit=1)[0] in NO_SUBJECT] == []


def test_docstrings_quote_code_in_single_backticks() -> None:
    quoted = re.compile(r"(?<!`)``(?!`)|:(attr|class|data|exc|func|meth|mod):`")
    assert [place for place, text in docstrings() if quoted.search(text)] == []


def test_dataclasses_have_slots() -> None:
    assert {name for name, slots in dataclasses() if not slots} == WITHOUT_SLOTS.keys()


@pytest.mark.parametrize("name", sorted(WITHOUT_SLOTS))
def test_dataclasses_without_slots_keep_a_cached_property(name: str) -> None:
    module, _, kind = name.partition(":")
    (node,) = (
        node for node in modules()[module].body if isinstance(node, ast.ClassDef) and node.name == kind
    )
    assert any(
        isinstance(part, ast.FunctionDef) and "cached_property" in map(ast.unparse, part.decorator_list)
        for part in node.body
    )
