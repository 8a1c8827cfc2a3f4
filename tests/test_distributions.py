"""Wheel and source distribution hold what they should, and the wheel works from an empty folder."""

import sys
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

pytestmark = [
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git knows which files are the project's"),
    pytest.mark.timeout(400),
]


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


@pytest.fixture(scope="module")
def environment(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("installed"))
    environment.install(*(folder / "wheel").glob("*.whl"))
    return environment


def test_the_wheel_works_from_an_empty_folder(environment: Environment, tmp_path: Path) -> None:
    libraries = {"PYTHONPATH": LIBRARIES}
    told = run(environment.programs / "aptp", "--help", cwd=tmp_path)
    assert told.startswith("usage: aptp COMMAND …")
    told = run(environment.programs / "aptp", "generate", "--help", cwd=tmp_path, **libraries)
    assert told.startswith("usage: aptp generate ")
    code = "import runtime; print(runtime.__file__, runtime.Pipeline.__module__)"
    told = run(environment.python, "-c", code, cwd=tmp_path, **libraries)
    assert Path(told.split()[0]).is_relative_to(environment.site)
    assert told.split()[1] == "runtime.api.pipeline"


CONSUMER = """
from kernels.attention.tiles import HEAD_DIMS
from runtime import Event, Pipeline, QueueFull, Status

def draw(pipeline: Pipeline) -> None:
    reveal_type(pipeline.generate("a red circle"))
    pipeline.generate(7)

def wait(failure: QueueFull, event: Event, status: Status) -> None:
    reveal_type(failure.retry_after)
    reveal_type(status.experts)
    reveal_type(event)
    reveal_type(HEAD_DIMS[0])
"""


def test_type_checkers_see_the_types_of_the_wheel(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "consumer.py").write_text(CONSUMER)
    options = ("--strict", "--config-file=", "--python-executable", environment.python)
    command = [sys.executable, "-m", "mypy", *options, "--cache-dir", tmp_path / "cache", "consumer.py"]
    told = run(*command, cwd=tmp_path, code=1).splitlines()
    assert [line.split(": ", 2)[2] for line in told[:-1]] == [
        'Revealed type is "list[runtime.service.generated.Generated]"',
        'Argument 1 to "generate" of "Pipeline" has incompatible type "int"; expected "str | Sequence[str]"'
        "  [arg-type]",
        'Revealed type is "float"',
        'Revealed type is "dict[str, runtime.service.status.ExpertStatus]"',
        'Revealed type is "runtime.service.events.Queued | runtime.service.events.Started | '
        'runtime.service.events.Step | runtime.service.events.Finished"',
        'Revealed type is "int"',
    ]


@pytest.mark.slow
@pytest.mark.timeout(3600)
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
