"""Wheel and source distribution hold what they should, and the wheel works from an empty folder."""

import tarfile
import zipfile
from pathlib import Path

import pytest

from aptp.version import __version__
from tests.distributions import LIBRARIES, ROOT, Environment, packed, run, tracked

PACKAGES = ("aptp/", "export/", "kernels/", "runtime/")
# Files about the repository, of no use beside an archive of it.
REPOSITORY = (".ci/", ".github/", ".clang-format", ".gitignore", ".pre-commit-config.yaml")
TYPED = {f"{room}/py.typed" for room in ("aptp", "export", "kernels/attention", "runtime")}

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="git knows which files are the project's"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(tmp_path_factory, whole=False)


def test_the_source_distribution_is_the_project(folder: Path) -> None:
    (path,) = (folder / "sdist").iterdir()
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    made = {name for name in held if name.startswith("aptp.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert held - made == {name for name in tracked() if not name.startswith(REPOSITORY)}


def test_the_wheel_is_the_packages(folder: Path) -> None:
    (path,) = (folder / "wheel").glob("*.whl")
    assert path.name == f"aptp-{__version__}-py3-none-any.whl"
    held = {name for name in zipfile.ZipFile(path).namelist() if ".dist-info/" not in name}
    assert held == {name for name in tracked() if name.startswith(PACKAGES)}
    assert {name for name in held if name.endswith("py.typed")} == TYPED


def test_the_wheel_works_from_an_empty_folder(folder: Path, tmp_path: Path) -> None:
    (wheel,) = (folder / "wheel").glob("*.whl")
    environment, empty = Environment(tmp_path), tmp_path / "empty"
    environment.install(wheel)
    empty.mkdir()
    libraries = {"PYTHONPATH": LIBRARIES}
    told = run(environment.programs / "aptp", "--help", cwd=empty)
    assert told.startswith("usage: aptp COMMAND …")
    told = run(environment.programs / "aptp", "generate", "--help", cwd=empty, **libraries)
    assert told.startswith("usage: aptp generate ")
    code = "import runtime; print(runtime.__file__, runtime.Pipeline.__module__)"
    told = run(environment.python, "-c", code, cwd=empty, **libraries)
    assert Path(told.split()[0]).is_relative_to(tmp_path)
    assert told.split()[1] == "runtime.api.pipeline"


@pytest.mark.slow
def test_the_wheel_draws_from_an_empty_folder(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    (wheel,) = (packed(tmp_path_factory, whole=True) / "wheel").glob("*.whl")
    environment, empty = Environment(tmp_path), tmp_path / "empty"
    environment.install(wheel)
    empty.mkdir()
    variables = {"PYTHONPATH": LIBRARIES, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for words in (("build", "--codes", "0", "--out", "bundle"), ("generate", "--code", "0", "a red circle")):
        run(environment.programs / "aptp", *words, cwd=empty, seconds=3000, **variables)
    assert [*empty.glob("**/*.png")]
