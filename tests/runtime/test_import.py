"""The public names of `runtime`, and what importing and using it brings along."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
