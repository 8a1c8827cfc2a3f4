"""One synthetic bundle for all tests of the runtime, and a copy of it for those that change it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import Runtime
from runtime.bundle.reader import Bundle
from tests.bundles import write_bundle


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("runtime") / "bundle")


@pytest.fixture(scope="session")
def cache_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    return Bundle.open(bundle_path)


@pytest.fixture(scope="session")
def runtime(bundle_path: Path, cache_path: Path) -> Iterator[Runtime]:
    with Runtime.open(bundle_path, provider="cpu", cache=cache_path, threads=1) as opened:
        yield opened


@pytest.fixture
def copy_path(bundle_path: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bundle_path, tmp_path / "bundle")
