"""The public names of `runtime`, and what importing and using it brings along."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from PIL.Image import Image

import runtime
from runtime import errors

ROOT = Path(__file__).parents[2]
FORBIDDEN = {"torch", "diffusers", "transformers", "triton", "onnx", "aptp", "export", "kernels"}


def modules(code: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    child = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, timeout=60)
    return set(child.stdout.split())


def test_importing_runtime_imports_nothing_of_weight() -> None:
    loaded = modules("import runtime")
    assert not loaded & {"numpy", "onnxruntime", "PIL", "rich", "tokenizers", *FORBIDDEN}
    assert "runtime.api.pipeline" not in loaded


def test_the_name_runtime_is_found_on_use() -> None:
    loaded = modules("from runtime import Pipeline, Generated")
    assert not loaded & {"onnxruntime", "PIL", "rich", "tokenizers", *FORBIDDEN}


def test_every_name_of_the_api_is_found() -> None:
    assert runtime.__all__ == sorted(set(runtime.__all__))
    assert set(runtime.__all__) <= {*dir(runtime)}
    for name in set(runtime.__all__) - {"Event"}:  # which is several of them
        assert getattr(runtime, name).__name__ == name
        assert getattr(runtime, name).__module__.startswith("runtime.")
    assert set(runtime.Event.__args__) <= {getattr(runtime, name) for name in runtime.__all__}


def test_the_api_has_every_error_that_its_docstrings_name() -> None:
    methods = [*vars(runtime.Pipeline).values(), *vars(runtime.Runtime).values()]
    texts = [inspect.getdoc(method) or "" for method in methods]
    raised = {word for text in texts for word in re.findall(r"`(\w+)`", text) if is_error(word)}
    bases = {base.__name__ for name in raised for base in getattr(errors, name).__mro__}
    assert raised >= {"UsageError", "QueueFull", "IntegrityError"}
    assert {name for name in runtime.__all__ if is_error(name)} == {*filter(is_error, bases), "Cancelled"}


# Public as names alone: docs/API.md says where their members are told.
OPAQUE = {"Bundle", "Manifest", "Models"}


def classes(hint: Any) -> Iterator[type]:
    """Yield the classes of ours that an annotation is made of."""
    if isinstance(hint, list):  # a callable's arguments
        for each in hint:
            yield from classes(each)
    elif inspect.isclass(hint) and hint.__module__.startswith("runtime."):
        yield hint
    for part in get_args(hint):
        yield from classes(part)


def hints(kind: Any) -> Iterator[Any]:
    """Yield the annotations of a class's public methods, properties and fields.

    A user calls the constructors of dataclasses alone, and their arguments are the fields.
    """
    names = {"Image": Image}  # imported where it is needed
    fields = get_type_hints(kind, localns=names)
    yield from (hint for name, hint in fields.items() if not name.startswith("_"))
    for name, member in inspect.getmembers_static(kind):
        if name == "__call__" or not name.startswith("_"):
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if inspect.isfunction(function) and function.__module__.startswith("runtime."):
                yield from get_type_hints(function, localns=names).values()


def test_every_class_of_a_public_signature_is_public() -> None:
    public = {getattr(runtime, name) for name in runtime.__all__}
    kinds = [kind for kind in public if inspect.isclass(kind) and kind.__name__ not in OPAQUE]
    found = {kind: {each for hint in hints(kind) for each in classes(hint)} for kind in kinds}
    assert {runtime.Stream, runtime.Output, runtime.ResolvedParams} <= set().union(*found.values())
    assert {kind.__name__: inside for kind, seen in found.items() if (inside := seen - public)} == {}


def is_error(name: str) -> bool:
    return inspect.isclass(found := getattr(errors, name, None)) and issubclass(found, errors.AptpError)


def test_docs_list_the_api() -> None:
    page = (ROOT / "docs/API.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: runtime\.(\w+)$", page, re.MULTILINE)) == runtime.__all__
    tree = re.findall(r"^    (.*[└├]── )?(\w+Error|RuntimeFailure|[A-Z]\w+)(?= |$)", page, re.MULTILINE)
    assert sorted(name for _, name in tree) == [name for name in runtime.__all__ if is_error(name)]
    above: list[str] = []
    for branch, name in tree:
        depth = len(branch) // 4
        assert not depth or getattr(errors, name).__bases__[0].__name__ == above[depth - 1]
        above[depth:] = [name]


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Runtme'"):
        _ = runtime.Runtme


def test_generating_needs_no_training_package(bundle_path: Path, cache_path: Path) -> None:
    code = "from runtime import Pipeline\n"
    code += f"with Pipeline.open({str(bundle_path)!r}, cache={str(cache_path)!r}) as r: r.generate('red')"
    assert not modules(code) & FORBIDDEN


def test_a_program_that_forgets_to_close_ends_all_the_same(bundle_path: Path, cache_path: Path) -> None:
    code = "from runtime import Pipeline\n"
    code += f"p = Pipeline.open({str(bundle_path)!r}, cache={str(cache_path)!r})\np.generate('red')"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
