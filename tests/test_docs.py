"""README and docs/ lead somewhere, name commands that are there, and say what was measured."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench/results"
HOME = "https://github.com/aptp/aptp"
# Addresses of this project, and the folder that they show.
HERE = (f"{HOME}/blob/main/", f"{HOME}/tree/main/", "https://raw.githubusercontent.com/aptp/aptp/main/")
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
HISTORY = {"CHANGELOG.md"}  # names commands as they were
README_LINES = 120
PRODUCT = ("aptp", "export", "kernels", "runtime")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """The page without what is quoted in it as code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^    .*$", "", text, flags=re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "code", text)


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def headings(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    plain = [line.replace("`", "").lower() for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", line).strip().replace(" ", "-") for line in plain}


def target(page: Path, link: str) -> tuple[Path, str] | None:
    """The file in this tree that a page's link leads to, and its anchor; None where it leads elsewhere."""
    address, _, anchor = link.partition("#")
    if not address:
        return page, anchor
    for start in HERE:
        if address.startswith(start):
            return ROOT / address.removeprefix(start), anchor
    if re.match(r"[a-z]+:", address):
        return None
    return page.parent / address, anchor


def test_readme_fits_on_two_screens() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_links_of_readme_are_absolute() -> None:
    """A package index shows the README without the files around it."""
    assert [link for link in links(README) if not link.startswith("https://")] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        found = target(page, link)
        if found is None:
            assert not link.startswith(HOME) or link in (HOME, f"{HOME}/security/advisories/new"), link
            continue
        path, anchor = found
        assert path.exists(), f"{name(page)} leads to {link}, which is not there"
        if anchor:
            assert anchor in headings(path), f"{name(page)} leads to {link}: no such heading"


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The modules that a page says to run, each with its options."""
    text = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))
    for module, rest in re.findall(r"-m ([a-z_]\w*(?:\.\w+)*)((?: +[^`\n|]*)?)", text):
        if module.split(".")[0] in (*PRODUCT, "bench", "tests"):
            yield module, re.findall(r"(?<!\S)(--[a-z][\w-]*)", rest.partition(" #")[0])


def source(module: str) -> list[Path]:
    """The files of a module that `python -m` can run; none where there is no such module."""
    path = ROOT / module.replace(".", "/")
    return (
        sorted(path.rglob("*.py"))
        if (path / "__main__.py").exists()
        else [*path.parent.glob(f"{path.name}.py")]
    )


@cache
def options(module: str) -> set[str]:
    """The options of a module: of the product, as its parser says; of others, as they stand in the source."""
    if module.split(".")[0] not in PRODUCT:
        text = "\n".join(path.read_text(encoding="utf-8") for path in source(module))
        return set(re.findall(r'"(--[a-z][\w-]*)"', text))
    run = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=100, check=True)
    return set(re.findall(r"^\s+(?:-\w, )?(--[a-z][\w-]*)", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in HISTORY], ids=name)
def test_commands_exist(page: Path) -> None:
    for module, given in commands(page):
        assert source(module), f"{name(page)} runs {module}, which is not there"
        if given:
            unknown = set(given) - options(module)
            assert not unknown, f"{name(page)}: {module} has no {unknown}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in HISTORY], ids=name)
def test_make_has_its_targets(page: Path) -> None:
    offered = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    wanted = re.findall(r"(?:`|^    )make ([a-z][\w-]*)", text, re.MULTILINE)
    assert set(wanted) <= offered, f"{name(page)} makes {set(wanted) - offered}"


def test_readme_has_commands() -> None:
    assert {module for module, _ in commands(README)} >= {
        *("runtime.generate", "runtime.serve", "runtime.bench", "aptp.train", "aptp.convert"),
        *("export.build", "aptp.evaluate"),
    }


def test_serving_lists_every_option() -> None:
    table = (ROOT / "docs/SERVING.md").read_text(encoding="utf-8").split("\n| option |")[1].split("\n\n")[0]
    assert set(re.findall(r"--[a-z][\w-]*", table)) >= options("runtime.serve") - {"--help"}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in HISTORY], ids=name)
def test_paths_exist(page: Path) -> None:
    """A path in backticks leads to a file of the tree: whole, without `.py`, or as a pattern."""
    top = "|".join((*PRODUCT, "bench", "cpp", "docs", "examples", "tests"))
    for path in re.findall(rf"`((?:{top})/[\w./*-]+)`", page.read_text(encoding="utf-8")):
        assert [*ROOT.glob(path), *ROOT.glob(f"{path}.py")], f"{name(page)} names {path}, which is not there"


def snippets(page: Path) -> list[ast.Module]:
    """A page's programs in Python."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return [compile(code, name(page), "exec", flags=flags) for code in found]


def parameters(call: ast.Call, known: dict[str, Any]) -> set[str]:
    """The names of arguments that a call may give; empty where nothing is known of what it calls."""
    if isinstance(call.func, ast.Name):
        called = [known[call.func.id]] if call.func.id in known else []
        if call.func.id == "pipeline":
            called = [known["Pipeline"].__call__]
    else:
        method = getattr(call.func, "attr", "")
        called = [getattr(owner, method) for owner in known.values() if hasattr(owner, method)]
    return {each for one in called for each in inspect.signature(one).parameters}


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in page.read_text()], ids=name)
def test_programs_use_what_is_there(page: Path) -> None:
    for tree in snippets(page):
        known: dict[str, Any] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in PRODUCT:
                module = importlib.import_module(str(node.module))
                known |= {alias.name: getattr(module, alias.name) for alias in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (offered := parameters(node, known)):
                given = {keyword.arg for keyword in node.keywords}
                assert given <= offered, f"{name(page)}: {ast.unparse(node)}"


def decimals(text: str) -> list[str]:
    """The figures of a cell: numbers with a decimal point, in order. `SD 2.1` is a name."""
    return re.findall(r"[−+]?\d+\.\d+", text.replace("SD 2.1", ""))


def read(path: str) -> Any:
    return json.loads((RESULTS / path).read_text(encoding="utf-8"))


def steps(path: str) -> dict[str, Any]:
    """The contenders of a benchmark's UNet steps by name, each as it was first measured."""
    found: dict[str, Any] = {}
    for comparison in read(path)["comparisons"]:
        for entry in comparison["entries"]:
            found.setdefault(entry["name"], entry)
    return found


def seconds(entry: Any) -> str:
    return f"{entry['summary']['p50']:.2f}"


def expert_figures() -> list[str]:
    found = steps("sd21_experts/report.json")
    expert, dense = found["expert 0 on openvino"], found["dense on openvino"]
    gain = [f"{expert['speed_up'][key]:.2f}" for key in ("middle", "low", "high")]
    return [seconds(expert), seconds(dense), *gain, f"{expert['macs'] / dense['macs']:.3f}"]


def engine_figures() -> list[str]:
    found = steps("sd21_engines/report.json")
    names = ("dense on openvino", "dense on cpu", "compile-bfloat16", "openvino")
    ours, cpu, compiled, native = (found[name] for name in names)
    return [*map(seconds, (ours, cpu, compiled, native)), f"{native['error'] / ours['error']:.1f}"]


def quality_figures() -> list[str]:
    report = read("default/report.json")
    rates = {key: value["rates"]["every tier"]["all"] for key, value in report["subjects"].items()}
    assert rates["mixed"]["count"] == 800
    budget = report["routing"]["mean_budget"]["all"][0]
    text = (RESULTS / "default/report.md").read_text(encoding="utf-8")
    (difference,) = re.findall(r"^\| all \| ([^|]*) \|$", text.split("## The mixture against dense")[1], re.M)
    shares = [f"{rates['mixed']['share']:.3f}", f"{budget:.3f}", f"{rates['dense']['share']:.3f}"]
    return [*shares, *decimals(difference.replace("-", "−"))]


def memory_figures() -> list[str]:
    found = {entry["name"]: entry["memory"] for entry in read("sd21_experts/report.json")["openings"]}
    wanted = ("expert 0 on openvino", "dense on openvino", "expert 0 on cpu", "dense on cpu")
    held = [found[key]["second call"]["private"] - found[key]["before"]["private"] for key in wanted]
    return [f"{size / 2**30:.2f}" for size in held]


ROWS = {
    "expert, dense": expert_figures,
    "engine, best peer": engine_figures,
    "quality": quality_figures,
    "memory": memory_figures,
    "GPU": list,
}


def results() -> dict[str, list[str]]:
    """README's table of results: the cells of each row by what the row is called."""
    table = README.read_text(encoding="utf-8").split("\n## Results\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line[:1] == "|"
    ]
    return {re.split(r"[\[\]:]", cells[0].lstrip("["))[0]: cells for cells in rows[2:]}


def test_readme_has_five_results() -> None:
    assert list(results()) == list(ROWS)
    for cells in results().values():
        assert len(cells) == 4
        assert all(cells), f"{cells[0]} lacks its machine, or the command that remakes it"


@pytest.mark.parametrize("row", ROWS)
def test_figures_of_readme_are_those_measured(row: str) -> None:
    assert decimals(results()[row][1]) == ROWS[row]()


def test_figures_of_experts_are_those_measured() -> None:
    found = steps("sd21_experts/report.json")
    page = (ROOT / "docs/RESULTS.md").read_text(encoding="utf-8")
    for code in range(4):
        here, there = found[f"expert {code} on openvino"], found[f"expert {code} on cpu"]
        gain = there["speed_up"]["middle"] / found["dense on cpu"]["speed_up"]["middle"]
        share = here["macs"] / found["dense on openvino"]["macs"]
        row = f"| {code} | {share:.3f} | {seconds(here)} s | {here['speed_up']['middle']:.2f} |"
        assert row in page
        assert f"| {seconds(there)} s | {gain:.2f} | {gain * share:.2f} |" in page


def test_pictures_of_results_are_those_drawn() -> None:
    for picture, drawn in {"latency.png": "sd21_experts", "routes.png": "default"}.items():
        assert (ROOT / "docs/images" / picture).read_bytes() == (RESULTS / drawn / picture).read_bytes()


def test_every_promise_has_a_test() -> None:
    table = (ROOT / "docs/GUARANTEES.md").read_text(encoding="utf-8").split("\n|---|---|---|\n")[1]
    for line in table.split("\n\n")[0].splitlines():
        promise, cell, _ = (part.strip() for part in line.strip("|").split("|"))
        named = re.findall(r"`(tests/[^`]+)`", cell)
        assert named, promise
        for pattern in named:
            assert list(ROOT.glob(pattern)), f"{promise}: {pattern} is not there"


@cache
def messages() -> list[str]:
    """Every text in the product's sources, `…` where a value is put in."""
    found = []
    for package in PRODUCT:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                    found.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found


def quoted() -> list[str]:
    text = (ROOT / "docs/FAQ.md").read_text(encoding="utf-8").split("\n## Errors\n")[1]
    firsts = [line.strip("|").split("|")[0] for line in text.splitlines() if line.startswith("| ")]
    return [message for cell in firsts for message in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("message", quoted())
def test_errors_that_are_explained_exist(message: str) -> None:
    literal = [re.escape(part) for part in message.split("…")]
    assert any(re.search(".*".join(literal), text, re.DOTALL) for text in messages())


def test_citation_is_of_this_version() -> None:
    from aptp.version import __version__

    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
