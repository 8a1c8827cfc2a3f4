"""Hugging Face's `kernels` beside ours: either may come first and go first, and what is there works.

Theirs is made up here: a regular package of that name, in a distribution of that name. `NAMESAKE=kernels`
takes the real one from a package index, with what it needs (`make namesake`).
"""

import json
import os
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.distributions import ROOT, Environment, copy, packed, run

# A dozen installs, on machines that do something else as well.
pytestmark = pytest.mark.timeout(400)

# Imports the product's module that needs `kernels.attention`; stands in for what is large.
PROBE = """
import importlib, json, os, sys, types

if "NAMESAKE" in os.environ:  # the real one looks for torch when it is imported: there is none
    try:
        import kernels
    except ModuleNotFoundError:
        pass

class Large(types.ModuleType):
    __path__ = []
    def __getattr__(self, name):
        return type(name, (), {})

for name in (
    "torch", "diffusers", "diffusers.models", "diffusers.models.attention_processor",
    "kernels.attention.op", "kernels.attention.tiles",
):
    sys.modules[name] = Large(name)

def place(name):
    try:
        file = getattr(importlib.import_module(name), "__file__", None)
        return file and file.removesuffix("/__init__.py")  # theirs are files or folders, by the release
    except ModuleNotFoundError:
        return None

aptp = place("aptp.model.attention")
print(json.dumps([aptp, place("kernels.attention") if aptp else None, place("kernels.layer")]))
"""
THEIRS = {
    "kernels/__init__.py": "from kernels.layer import get_kernel\n",
    "kernels/layer.py": "def get_kernel(): ...\n",
    "kernels/py.typed": "",
    "kernels-0.18.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: kernels\nVersion: 0.18.2\n",
    "kernels-0.18.2.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}


FETCH = (sys.executable, "-m", "pip")


def users_own() -> dict[str, str]:
    """The settings of pip that name an index."""
    return {name: value for name, value in os.environ.items() if name.startswith("PIP_")}


@dataclass(frozen=True, slots=True)
class Seen:
    """The findings of one interpreter: the folders that hold ours, its attention, and theirs."""

    ours: Path | None
    attention: Path | None
    theirs: Path | None


def look(python: Path | str, cwd: Path, **variables: str) -> Seen:
    files = json.loads(run(python, "-c", PROBE, cwd=cwd, **variables))
    depths = (3, 2, 2)  # of the file or folder below the one that is on the path
    return Seen(*(file and Path(file).parents[depth - 1] for file, depth in zip(files, depths, strict=True)))


@pytest.fixture(scope="module")
def their_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("theirs")
    if wanted := os.environ.get("NAMESAKE"):
        run(*FETCH, "download", "--no-deps", wanted, cwd=folder, seconds=300, **users_own())
        (found,) = folder.glob("*.whl")
        return found
    path = folder / "kernels-0.18.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in THEIRS.items():
            archive.writestr(name, text)
        record = "".join(f"{name},,\n" for name in (*THEIRS, "kernels-0.18.2.dist-info/RECORD"))
        archive.writestr("kernels-0.18.2.dist-info/RECORD", record)
    return path


@pytest.fixture(scope="module")
def our_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (path,) = (packed(tmp_path_factory, whole=False) / "wheel").glob("*.whl")
    return path


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    made = Environment(tmp_path)
    if wanted := os.environ.get("NAMESAKE"):  # what theirs imports
        run(*FETCH, "--python", made.python, "install", wanted, cwd=tmp_path, seconds=300, **users_own())
        made.uninstall("kernels")
    return made


def test_a_checkout_that_is_not_installed(environment: Environment, their_wheel: Path) -> None:
    assert look(environment.python, ROOT) == Seen(ROOT, ROOT, None)
    environment.install(their_wheel)
    site = environment.site
    assert look(environment.python, ROOT) == Seen(ROOT, ROOT, site)
    for path in (f"{ROOT}:{site}", f"{site}:{ROOT}"):
        assert look(environment.python, environment.programs, PYTHONPATH=path) == Seen(ROOT, ROOT, site)
    environment.uninstall("kernels")
    assert look(environment.python, ROOT) == Seen(ROOT, ROOT, None)


def test_an_editable_install(environment: Environment, their_wheel: Path, tmp_path: Path) -> None:
    source, site = copy(tmp_path / "source", whole=False), environment.site
    environment.install("--editable", source)
    elsewhere = environment.programs
    assert (
        look(environment.python, source) == look(environment.python, elsewhere) == Seen(source, source, None)
    )
    environment.install(their_wheel)
    assert (
        look(environment.python, source) == look(environment.python, elsewhere) == Seen(source, source, site)
    )
    environment.uninstall("aptp")
    assert look(environment.python, elsewhere) == Seen(None, None, site)
    environment.install("--editable", source)  # after theirs
    assert (
        look(environment.python, source) == look(environment.python, elsewhere) == Seen(source, source, site)
    )
    environment.uninstall("kernels")
    assert (
        look(environment.python, source) == look(environment.python, elsewhere) == Seen(source, source, None)
    )


def test_a_wheel(environment: Environment, their_wheel: Path, our_wheel: Path) -> None:
    elsewhere, site = environment.programs, environment.site
    environment.install(our_wheel)
    assert look(environment.python, elsewhere) == Seen(site, site, None)
    environment.install(their_wheel)
    assert look(environment.python, elsewhere) == Seen(site, site, site)
    environment.uninstall("aptp")
    assert look(environment.python, elsewhere) == Seen(None, None, site)
    environment.install(our_wheel)  # after theirs
    assert look(environment.python, elsewhere) == Seen(site, site, site)
    environment.uninstall("kernels")
    assert look(environment.python, elsewhere) == Seen(site, site, None)


def test_a_wheel_in_another_folder_than_theirs(
    environment: Environment, their_wheel: Path, our_wheel: Path, tmp_path: Path
) -> None:
    environment.install("--target", tmp_path / "ours", our_wheel)
    environment.install(their_wheel)
    path = {"PYTHONPATH": str(tmp_path / "ours")}
    seen = look(environment.python, environment.programs, **path)
    assert seen == Seen(tmp_path / "ours", tmp_path / "ours", environment.site)
