"""Imports: what importing and using the runtime brings along."""

import subprocess
import sys
from pathlib import Path

import pytest

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


def test_an_unknown_name() -> None:
    import runtime

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
