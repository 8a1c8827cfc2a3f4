"""The library in processes that fork, and beside another user of ONNX Runtime."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)

Program = Callable[[str], Path]


def lines(*command: object) -> list[str]:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize("engine", ["cpu", "auto"])
def test_a_forked_child_is_refused_and_ends(program: Program, mini: Path, cache: Path, engine: str) -> None:
    assert sorted(lines(program("forked"), mini, cache, engine)) == sorted(
        ["parent: image", "child: forked", "child ended: 0", "parent: image"]
    )


@pytest.mark.parametrize("order", ["first", "last"])
def test_a_program_may_use_onnx_runtime_itself(program: Program, mini: Path, cache: Path, order: str) -> None:
    graph = next(path for path in sorted(mini.rglob("*.onnx")) if path.parent.name == "router")
    told = lines(program("neighbours"), mini, cache, graph, order)
    assert len([line for line in told if line.startswith("width: ")]) == 2
    assert any(line.startswith("inputs: ") for line in told)
