"""The built runtime in C++, and bundles for it to read.

`APTP_CPP_BUILD` names the folder that CMake built into, with APTP_TESTS; without it these tests fail.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from export.build import __main__ as exporter
from tests.checkpoints import build_mini
from tests.cpp.drawing import Asked, Draw, drawn_by_library
from tests.sharing import shared

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cpp)


@pytest.fixture(scope="session")
def build() -> Path:
    """The folder that CMake built into."""
    name = os.environ.get("APTP_CPP_BUILD")
    if not name or not Path(name, "CMakeCache.txt").exists():
        pytest.fail("APTP_CPP_BUILD does not name a folder that CMake built into; run `make cpp`")
    return Path(name).resolve()


@pytest.fixture(scope="session")
def setting(build: Path) -> Callable[[str], str]:
    """Gives the value that CMake was configured with, by its name; empty where it has none."""
    settings = (build / "CMakeCache.txt").read_text()

    def find(name: str) -> str:
        found = re.search(rf"^{name}:\w+=(.*)$", settings, re.MULTILINE)
        return found[1] if found else ""

    return find


@pytest.fixture(scope="session")
def program(build: Path) -> Callable[[str], Path]:
    """Gives the path of a program by its name."""

    def find(name: str) -> Path:
        path = build / name
        if not path.exists():
            pytest.fail(f"{path} was not built; configure with -DAPTP_TESTS=ON")
        return path

    return find


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default's bundle, not to be changed. `APTP_CPP_BUNDLE` names one that is there already."""
    if given := os.environ.get("APTP_CPP_BUNDLE"):
        return Path(given).resolve()

    def make(folder: Path) -> None:
        words = ["--codes", "all", "--out", str(folder / "bundle"), "--cache", str(folder / "cache")]
        assert exporter.main(words) == 0

    return shared(tmp_path_factory, "default", make) / "bundle"


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle of codes 0 and 1 and dense, not to be changed; `APTP_CPP_MINI` as above."""
    if given := os.environ.get("APTP_CPP_MINI"):
        return Path(given).resolve()
    return build_mini(tmp_path_factory, codes="all,dense")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that Python and C++ share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def draw(program: Callable[[str], Path], cache: Path, tmp_path: Path) -> Draw:
    """Makes images by the library: of these requests, in calls of `batch`, on `engine`, in `precision`."""

    def make(
        bundle: Path,
        requests: Sequence[Asked],
        batch: int = 8,
        engine: str = "cpu",
        precision: str | None = None,
    ) -> list[dict[str, Any]]:
        how: dict[str, Any] = {"batch": batch, "engine": engine, "precision": precision}
        return drawn_by_library(program("draw"), tmp_path, bundle, cache, requests, **how)

    return make
