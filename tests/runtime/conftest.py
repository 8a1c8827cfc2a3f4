"""A synthetic bundle for all tests of the runtime, copies for those that change it, missing modules."""

import builtins
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import Pipeline
from runtime.bundle.reader import Bundle
from runtime.engines import providers
from runtime.models.cache import Cache
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
def unet(bundle: Bundle, cache_path: Path) -> Path:
    """The serving graph of expert 0, its float32 weights beside it; not to be changed."""
    return Cache(cache_path).serving_graph(bundle, bundle.manifest.experts["0"].model)


@pytest.fixture(scope="session")
def runtime(bundle_path: Path, cache_path: Path) -> Iterator[Pipeline]:
    with Pipeline.open(bundle_path, engine="cpu", cache=cache_path, threads=1) as opened:
        yield opened


@pytest.fixture
def copy_path(bundle_path: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bundle_path, tmp_path / "bundle")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch):
    """Make a module look as if it were not installed."""
    forget = providers.onnxruntime.cache_clear

    def hide(name: str) -> None:
        real = builtins.__import__

        def find(wanted: str, *rest: Any, **options: Any) -> Any:
            if wanted == name:
                raise ImportError(name)
            return real(wanted, *rest, **options)

        monkeypatch.setattr(builtins, "__import__", find)
        forget()

    yield hide
    monkeypatch.undo()
    forget()
