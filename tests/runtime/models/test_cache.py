import errno
import fcntl
import hashlib
import multiprocessing
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Model
from runtime.errors import CacheFailure, IntegrityError, LockedError
from runtime.files.verified import FileEntry
from runtime.models import cache as module
from runtime.models.cache import Cache
from runtime.models.unpacked import DATA, GRAPH, UnpackedFiles, widened


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
    assert set(before) == {"serve.onnx", "serve.onnx.data"}
    Cache(tmp_path).serving_graph(bundle, model)
    assert snapshot(tmp_path) == before


def test_a_model_without_serve_is_run_from_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    router = bundle.manifest.router.model
    assert Cache(tmp_path).serving_graph(bundle, router) == bundle.root / router.graph
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["serve.onnx", "serve.onnx.data"])
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


def test_a_link_in_an_entry_is_not_followed(bundle: Bundle, model: Model, tmp_path: Path) -> None:
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

    def refuse(*_: object, **__: object) -> None:
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
    assert set(snapshot(tmp_path)) == {"serve.onnx", "serve.onnx.data"}
    assert list(tmp_path.rglob(".*.tmp")) == []


@pytest.mark.parametrize("name", ["x" * 256, "a/" * 2500])
def test_a_cache_whose_name_no_folder_has(bundle: Bundle, model: Model, tmp_path: Path, name: str) -> None:
    with pytest.raises(CacheFailure, match="cannot be written, File name too long"):
        Cache(tmp_path / name).serving_graph(bundle, model)


def forge(data: Path, change) -> None:
    weights = np.frombuffer(data.read_bytes(), "<f4").copy()
    change(weights)
    data.write_bytes(weights.tobytes())


def negate(weights: np.ndarray) -> None:
    weights[::3] *= -1


def nudge(weights: np.ndarray) -> None:
    """Add what rounding to float16 takes away again."""
    weights[0] = np.nextafter(weights[0], np.float32(np.inf))


def overflow(weights: np.ndarray) -> None:
    weights[0] = 1e30


@pytest.mark.parametrize("change", [negate, nudge, overflow])
def test_weights_that_are_not_the_manifests_are_built_again(
    bundle: Bundle, model: Model, tmp_path: Path, change
) -> None:
    data = Cache(tmp_path).serving_graph(bundle, model).with_name("serve.onnx.data")
    good = data.read_bytes()
    forge(data, change)
    # What whoever forged them would have to say for them: nobody reads it.
    (data.parent / "record.json").write_text("{}")
    with pytest.warns(UserWarning, match="is damaged and is built again"):
        Cache(tmp_path).serving_graph(bundle, model)
    assert data.read_bytes() == good


@pytest.mark.parametrize("name", ["serve.onnx", "serve.onnx.data"])
def test_a_pipe_in_an_entry_is_not_waited_for(
    bundle: Bundle, model: Model, tmp_path: Path, name: str
) -> None:
    path = Cache(tmp_path).serving_graph(bundle, model).with_name(name)
    good = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    with pytest.warns(UserWarning, match="is not a regular file"):
        Cache(tmp_path).serving_graph(bundle, model)
    assert path.read_bytes() == good


def test_every_float16_is_known_again(tmp_path: Path) -> None:
    halves = np.arange(65536, dtype="<u2")
    finite = halves[np.isfinite(halves.view("<f2"))].tobytes()
    (tmp_path / DATA).write_bytes(widened(finite))
    (tmp_path / GRAPH).touch()
    empty = FileEntry(0, hashlib.sha256().hexdigest())
    entry = FileEntry(len(finite), hashlib.sha256(finite).hexdigest())
    UnpackedFiles(tmp_path, empty, entry, "stop").verify()


def test_an_entry_that_another_process_builds_for_too_long(
    bundle: Bundle, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = Cache(tmp_path).serving_graph(bundle, model).parent.with_suffix(".lock")
    shutil.rmtree(lock.with_suffix(""))
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    message = rf"locked by pid {os.getpid()}; .*: wait for it to end, or name another folder with --cache"
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match=message):
            Cache(tmp_path).serving_graph(bundle, model)
