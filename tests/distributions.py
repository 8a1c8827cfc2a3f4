"""The project as a source distribution and a wheel, and virtual environments to install them in."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.sharing import shared

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = sysconfig.get_path("purelib")
_LARGE = 100_000  # bytes
_BUILD = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
# Nothing is fetched, and the user's own settings do not count.
_QUIET = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}


def run(*command: str | Path, cwd: Path, code: int = 0, seconds: float = 100, **variables: str) -> str:
    """Run a program to its end and return its standard output. Fails the test unless it ends with `code`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=kept | variables,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout


def tracked() -> Iterator[str]:
    """The files of this project: those that git knows, and those that it would not ignore."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    return (path for path in listed.splitlines() if (ROOT / path).is_file())


def copy(folder: Path, *, whole: bool) -> Path:
    """Copy the project. Without `whole`, large data files are empty: they take long to pack."""
    for path in tracked():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if whole or path.endswith(".py") or (ROOT / path).stat().st_size < _LARGE:
            shutil.copy(ROOT / path, target)
        else:
            target.touch()
    return folder


def make_sdist(source: Path, out: Path) -> Path:
    """Pack `source` into an archive in the folder `out`."""
    run(sys.executable, "-c", _BUILD, out, cwd=source)
    (archive,) = out.glob("*.tar.gz")
    return archive


def unpack(sdist: Path, out: Path) -> Path:
    """Unpack an archive below `out`, and return the folder that it holds."""
    with tarfile.open(sdist) as archive:
        archive.extractall(out, filter="data")
    (source,) = out.iterdir()
    return source


def make_wheel(source: Path, out: Path) -> Path:
    """Build the wheel of `source` into the folder `out`, as an installer does that finds none."""
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", out)
    run(sys.executable, "-m", "pip", "wheel", *options, source, cwd=out, **_QUIET)
    (wheel,) = out.glob("*.whl")
    return wheel


def packed(factory: pytest.TempPathFactory, *, whole: bool) -> Path:
    """The folder with `sdist/*.tar.gz` and `wheel/*.whl`, made from it."""
    return shared(factory, f"packed-{whole}", lambda folder: _pack(folder, whole=whole))


def _pack(folder: Path, *, whole: bool) -> None:
    for name in ("sdist", "wheel"):
        (folder / name).mkdir()
    sdist = make_sdist(copy(folder / "source", whole=whole), folder / "sdist")
    make_wheel(unpack(sdist, folder / "unpacked"), folder / "wheel")


class Environment:
    """A virtual environment with nothing in it. The pip of these tests installs there."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.programs = folder / "venv/bin"
        self.python = self.programs / "python"
        (self.site,) = (folder / "venv/lib").glob("python*/site-packages")
        # An editable install is built by setuptools; of all that these tests run with, it sees that alone.
        self._backend = folder / "backend"
        self._backend.mkdir()
        setuptools = distribution("setuptools")
        for name in ("_distutils_hack", "setuptools", f"setuptools-{setuptools.version}.dist-info"):
            (self._backend / name).symlink_to(setuptools.locate_file(name))

    def pip(self, *words: str | Path) -> None:
        """Run pip in this environment."""
        path = {"PYTHONPATH": str(self._backend)}
        run(sys.executable, "-m", "pip", "--python", self.python, *words, cwd=self.programs, **_QUIET, **path)

    def install(self, *words: str | Path) -> None:
        """Install a file or a folder, and nothing that it depends on."""
        self.pip("install", "--no-deps", "--no-build-isolation", "--no-compile", *words)

    def uninstall(self, name: str) -> None:
        self.pip("uninstall", "--yes", name)
