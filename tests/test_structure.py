"""The shape of the repository: import arrows, length budgets, no cycles, and names that must not collide."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("aptp", "export", "kernels", "runtime")
HEAVY = {
    "torch",
    "diffusers",
    "transformers",
    "triton",
    "accelerate",
    "safetensors",
    "onnx",
    "onnx_ir",
    "onnxscript",
}
# What of it may be imported all the same, when it is first used.
LAZY = {"runtime.engines.aoti": {"torch"}}

MAX_FILE, MAX_FUNCTION, MAX_P90, MAX_ARGUMENTS = 400, 80, 35, 7
MAX_KERNEL_FILE, MAX_KERNEL = 250, 60

# What everything else stands on, lowest first. Each room may import those above it in this list.
FLOOR = (
    "runtime.errors",
    "runtime.formats",
    "runtime.files",
    "runtime.machine",
    "runtime.timing",
    "runtime.cli",
)
# What only one room of it may import of other people's.
FLOOR_ONLY = {"rich": "runtime.cli", "numpy": "runtime.timing"}

# What encoding and the two stages of training stand on.
METHOD = {
    *FLOOR,
    *("aptp.trainer", "aptp.data", "aptp.checkpoint", "aptp.components", "aptp.model", "aptp.space"),
    *("aptp.pipeline", "aptp.presets", "aptp.version", "aptp.device"),
}

# What a module of each area may import of ours; everything else among our packages is an arrow the wrong way.
MAY_IMPORT = {
    "kernels": {"kernels"},
    **{room: {*FLOOR[: height + 1]} for height, room in enumerate(FLOOR)},
    "runtime.bundle": {"runtime.bundle", "runtime.files", "runtime.formats", "runtime.errors"},
    "runtime.scheduling": {"runtime.scheduling", "runtime.errors"},
    "runtime": {"runtime"},
    "aptp.space": {"aptp.space", *FLOOR},
    "aptp.components": {"aptp.components", "aptp.space", *FLOOR},
    "aptp.model": {"aptp.model", "aptp.components", "aptp.space", "kernels", *FLOOR},
    "aptp.checkpoint": {"aptp.checkpoint", "aptp.components", "aptp.model", "aptp.space", *FLOOR},
    "aptp.data": {"aptp.data", *FLOOR},
    "aptp.trainer": {"aptp.trainer", "aptp.data", "aptp.model", "aptp.space", "aptp.version", *FLOOR},
    "aptp.encode": {*METHOD, "aptp.encode"},
    "aptp.train": {*METHOD, "aptp.train"},
    "aptp.finetune": {*METHOD, "aptp.evaluate", "aptp.finetune"},
    "aptp.ood": {*METHOD, "aptp.train", "aptp.ood"},
    "aptp.score": {"aptp.score", "aptp.data", "aptp.device", "aptp.version", *FLOOR},
    "aptp.analyse": {*METHOD, "aptp.train", "aptp.score", "aptp.evaluate", "aptp.ood", "aptp.analyse"},
    "aptp.convert": {
        *("aptp.convert", "aptp.checkpoint", "aptp.components", "aptp.model", "aptp.space"),
        *("aptp.pipeline", "aptp.version"),
        *FLOOR,
    },
    "aptp.pretrain": {*METHOD, "aptp.pretrain", "aptp.evaluate", "aptp.score"},
    "aptp.evaluate": {*METHOD, "aptp.score", "aptp.evaluate"} - {"aptp.trainer"},
    "aptp": {"aptp", "kernels", *FLOOR},
    "export": {
        *("export", "kernels", "runtime"),
        *("aptp.space", "aptp.model", "aptp.checkpoint", "aptp.default", "aptp.version"),
    },
}


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text())
    return found


def imports(name: str, tree: ast.AST) -> Iterator[str]:
    """Absolute names of everything imported anywhere in the module, functions included."""
    is_package = any((ROOT / Path(*name.split("."))).glob("__init__.py"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = name.split(".")
            base = base[: len(base) - node.level + is_package] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield full if full in modules() else module


def import_time(tree: ast.Module) -> ast.Module:
    """The module without function bodies and TYPE_CHECKING blocks."""
    body = [
        node
        for node in tree.body
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    return ast.Module(body, [])


def within(name: str, area: str) -> bool:
    return name == area or name.startswith(area + ".")


@pytest.mark.parametrize("name", sorted(modules()))
def test_import_arrows(name: str) -> None:
    area = max((area for area in MAY_IMPORT if within(name, area)), key=len)
    for target in imports(name, modules()[name]):
        if target.split(".")[0] in PACKAGES:
            assert any(within(target, allowed) for allowed in MAY_IMPORT[area]), f"{name} imports {target}"
        if area in FLOOR:
            assert FLOOR_ONLY.get(target.split(".")[0], area) == area, f"{name} imports {target}"
        if area.startswith("runtime"):
            assert target.split(".")[0] not in HEAVY - LAZY.get(name, set()), f"{name} imports {target}"
    for target in imports(name, import_time(modules()[name])):
        assert target.split(".")[0] not in LAZY.get(name, ()), f"{name} imports {target} at once"


def test_no_import_cycles() -> None:
    edges = {
        name: {t for t in imports(name, import_time(tree)) if t in modules() and t != name}
        for name, tree in modules().items()
    }
    while leaves := [name for name, targets in edges.items() if not targets & edges.keys()]:
        for name in leaves:
            del edges[name]
    assert not edges, f"import cycle among {sorted(edges)}"


def functions() -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    return [
        (f"{name}:{node.name}", node)
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_length_budgets() -> None:
    files = {}
    for name in modules():
        path = ROOT / Path(*name.split("."))
        package = path / "__init__.py"  # a folder without one may be a module's data
        files[name] = len((package if package.exists() else path.with_suffix(".py")).read_text().splitlines())
    lengths = {name: (node.end_lineno or 0) - node.lineno + 1 for name, node in functions()}
    ordered = sorted(lengths.values())
    p90 = ordered[int(0.9 * len(ordered))]
    full = [length for length in sorted(files.values()) if length > 3]
    sys.stdout.write(
        f"\n{len(full)} files, median {full[len(full) // 2]} lines, longest {full[-1]}; "
        f"{len(ordered)} functions, median {ordered[len(ordered) // 2]}, p90 {p90}, longest {ordered[-1]}\n"
    )
    assert {name: n for name, n in files.items() if n > MAX_FILE} == {}
    assert {name: n for name, n in lengths.items() if n > MAX_FUNCTION} == {}
    assert p90 <= MAX_P90


def is_kernel(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return "triton.jit" in map(ast.unparse, node.decorator_list)


def test_kernels_can_be_read_from_top_to_bottom() -> None:
    bodies = {
        name: (node.end_lineno or 0) - node.body[0].lineno + 1
        for name, node in functions()
        if is_kernel(node)
    }
    files = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "kernels").rglob("*.py")}
    assert bodies
    assert {name: n for name, n in bodies.items() if n > MAX_KERNEL} == {}
    assert {name: n for name, n in files.items() if n > MAX_KERNEL_FILE} == {}


def test_argument_budget() -> None:
    for name, node in functions():
        if not node.name.startswith("_") and not is_kernel(node):  # a kernel takes its tensors' strides
            positional = [
                arg.arg for arg in node.args.posonlyargs + node.args.args if arg.arg not in ("self", "cls")
            ]
            assert len(positional) <= MAX_ARGUMENTS, f"{name} takes {len(positional)} positional arguments"


CPP = ROOT / "cpp"
# What a room of the runtime in C++ may include of the others.
MAY_INCLUDE: dict[str, set[str]] = {
    "files": set(),
    "machine": set(),
    "bundle": {"files"},
    "text": {"bundle", "files"},
    "diffusion": {"bundle", "request"},
    "request": {"bundle", "text"},
    "images": set(),
    "scheduling": set(),
    "engines": {"bundle", "machine"},
    "models": {"bundle", "diffusion", "engines", "files", "machine", "request", "text"},
    "service": {"diffusion", "engines", "machine", "models", "request", "scheduling", "text"},
    "api": {"images", "models", "request", "service"},
    "generate": set(),
}


@pytest.mark.parametrize("room", sorted(MAY_INCLUDE))
def test_rooms_in_cpp(room: str) -> None:
    files = [path for path in (CPP / room).iterdir() if path.suffix in (".cpp", ".hpp")]
    assert files
    for path in files:
        lines = path.read_text().splitlines()
        assert len(lines) <= MAX_FILE, path
        assert all(len(line) <= 120 for line in lines), path
        for include in re.findall(r'^#include "(.*)"', "\n".join(lines), re.MULTILINE):
            target = include.partition("/")[0] if "/" in include else ""
            assert not target or target in MAY_INCLUDE[room] | {room}, f"{path} includes {include}"
        if room != "engines":
            foreign = re.findall(
                r"^#include <(onnxruntime|openvino|ATen|torch|NvInfer|cuda).*>", "\n".join(lines), re.M
            )
            assert not foreign, f"{path} includes {foreign}"


def test_file_names_are_nouns_of_the_field() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    assert not [name for name in modules() if vague & set(name.split("."))]


def test_version_is_the_top_of_the_changelog() -> None:
    from aptp.version import __version__

    top = re.search(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert top is not None
    assert top[1] == __version__


def test_kernels_is_a_namespace_and_leaves_its_namesake_alone() -> None:
    # transformers and diffusers probe for a distribution named `kernels`; ours must look like nothing to
    # them, and no file of ours may be one that theirs brings as well.
    assert [path.name for path in (ROOT / "kernels").iterdir() if path.name != "__pycache__"] == ["attention"]
    importers = {name for name, tree in modules().items() if "kernels" in {*imports(name, tree)}}
    assert importers == {"aptp.model.attention"}
    code = (
        "import json, sys, transformers, diffusers\n"
        "from transformers.utils.import_utils import is_kernels_available\n"
        "print(json.dumps([bool(is_kernels_available()), 'triton' in sys.modules]))"
    )
    seen = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", code],
                cwd=folder,
                capture_output=True,
                text=True,
                check=True,
                timeout=100,
            ).stdout.splitlines()[-1]
        )
        for folder in (ROOT, ROOT / "docs")
    ]
    assert seen[0] == seen[1]
    assert seen[0][0] is False
