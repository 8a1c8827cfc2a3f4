import errno
import json
import multiprocessing
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Model
from runtime.errors import CacheFailure, IntegrityError
from runtime.models import cache as module
from runtime.models.cache import Cache


@pytest.fixture
def model(bundle: Bundle) -> Model:
    return bundle.manifest.experts["0"].model


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    files = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def test_weights_are_widened(bundle: Bundle, model: Model, tmp_path: Path) -> None:
    graph = Cache(tmp_path).serving_graph(bundle, model)
    assert model.weights is not None
    halves = np.frombuffer(bundle.read(model.weights), "<f2")
    floats = np.frombuffer((graph.parent / "serve.onnx.data").read_bytes(), "<f4")
    assert np.array_equal(floats, halves.astype(np.float32))
    assert graph.read_bytes() == bundle.read(str(model.serve))


def test_chunks_join(bundle: Bundle, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Cache(tmp_path / "a").serving_graph(bundle, model).with_name("serve.onnx.data").read_bytes()
    monkeypatch.setattr(module, "_CHUNK", 6)
    pieces = Cache(tmp_path / "b").serving_graph(bundle, model).with_name("serve.onnx.data").read_bytes()
    assert pieces == whole


def test_an_entry_is_made_once(bundle: Bundle, model: Model, tmp_path: Path) -> None:
    Cache(tmp_path).serving_graph(bundle, model)
    before = snapshot(tmp_path)
    assert len(before) == 3
    Cache(tmp_path).serving_graph(bundle, model)
    assert snapshot(tmp_path) == before


def test_a_model_without_serve_is_run_from_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    router = bundle.manifest.router.model
    assert Cache(tmp_path).serving_graph(bundle, router) == bundle.root / router.graph
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["serve.onnx", "serve.onnx.data", "record.json"])
@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: bytes([data[0] ^ 1]) + data[1:], lambda _: None]
)
def test_a_damaged_entry_is_built_again(
    bundle: Bundle, model: Model, tmp_path: Path, name: str, damage
) -> None:
    graph = Cache(tmp_path).serving_graph(bundle, model)
    good = {path.name: path.read_bytes() for path in graph.parent.iterdir()}
    wrong = damage(good[name])
    (graph.parent / name).unlink()
    if wrong is not None:
        (graph.parent / name).write_bytes(wrong)
    with pytest.warns(UserWarning, match="is damaged and is built again"):
        Cache(tmp_path).serving_graph(bundle, model)
    assert {path.name: path.read_bytes() for path in graph.parent.iterdir()} == good


def test_a_record_cannot_vouch_for_a_path(bundle: Bundle, model: Model, tmp_path: Path) -> None:
    graph = Cache(tmp_path).serving_graph(bundle, model)
    data = graph.with_name("serve.onnx.data")
    shutil.copy(data, tmp_path / "outside")
    data.unlink()
    data.symlink_to(tmp_path / "outside")
    with pytest.warns(UserWarning, match="damaged"):
        Cache(tmp_path).serving_graph(bundle, model)
    assert not data.is_symlink()


def test_wrong_weights_publish_nothing(copy_path: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(copy_path)
    path = copy_path / "experts/0/unet/model.onnx.data"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(IntegrityError, match="experts/0/unet/model.onnx.data"):
        Cache(tmp_path / "cache").serving_graph(bundle, bundle.manifest.experts["0"].model)
    assert snapshot(tmp_path / "cache") == {}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(
    bundle: Bundle, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    needed = 2 * bundle.manifest.files[str(model.weights)].size + bundle.manifest.files[str(model.serve)].size
    with pytest.raises(
        CacheFailure, match=rf"the disk is full; it needs {needed} bytes: free them, or .* --cache"
    ):
        Cache(tmp_path).serving_graph(bundle, model)
    assert snapshot(tmp_path) == {}
    assert list(tmp_path.rglob(".*.tmp")) == []


def test_a_file_size_limit(bundle: Bundle, model: Model, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        with pytest.raises(CacheFailure, match="the disk is full"):
            Cache(tmp_path).serving_graph(bundle, model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert snapshot(tmp_path) == {}


def test_a_cache_that_is_a_file(bundle: Bundle, model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheFailure, match="cannot be written"):
        Cache(tmp_path / "file").serving_graph(bundle, model)


def test_what_a_killed_process_left_is_cleared(bundle: Bundle, model: Model, tmp_path: Path) -> None:
    graph = Cache(tmp_path).serving_graph(bundle, model)
    graph.parent.rename(graph.parent.with_name(f".{graph.parent.name}.tmp"))
    (graph.parent.with_name(f".{graph.parent.name}.tmp") / "serve.onnx.data").write_bytes(b"half")
    Cache(tmp_path).serving_graph(bundle, model)
    assert list(tmp_path.rglob(".*.tmp")) == []


def test_a_finished_cache_may_be_read_only(
    bundle: Bundle, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = Cache(tmp_path).serving_graph(bundle, model)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EROFS, "read-only")

    monkeypatch.setattr(module, "locked", refuse)
    assert Cache(tmp_path).serving_graph(bundle, model) == graph


def race(root: Path, cache: Path, barrier) -> None:
    bundle = Bundle.open(root)
    barrier.wait()
    Cache(cache).serving_graph(bundle, bundle.manifest.experts["0"].model)


def test_two_processes_at_once(bundle: Bundle, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    children = [context.Process(target=race, args=(bundle.root, tmp_path, barrier)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    record = json.loads(next(tmp_path.rglob("record.json")).read_bytes())
    assert set(record) == {"serve.onnx", "serve.onnx.data"}
    assert list(tmp_path.rglob(".*.tmp")) == []


@pytest.mark.parametrize("name", ["x" * 256, "a/" * 2500])
def test_a_cache_whose_name_no_folder_has(bundle: Bundle, model: Model, tmp_path: Path, name: str) -> None:
    with pytest.raises(CacheFailure, match="cannot be written, File name too long"):
        Cache(tmp_path / name).serving_graph(bundle, model)


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(CacheFailure, match="no home folder; name a folder with --cache"):
        Cache()


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert Cache().root == Path("/somewhere/aptp")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert Cache().root == Path("/home/someone/.cache/aptp")
