"""The cache in C++ is Python's: the same folder, keys and files, whoever makes them."""

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from runtime.bundle.reader import Bundle
from runtime.errors import CacheFailure
from runtime.models.cache import Cache
from tests.bundles import write_bundle
from tests.runtime.models.test_cache import forge, negate, nudge, overflow


def fill(
    program: Callable[[str], Path], bundle: Path, cache: Path | str, *words: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    command = [program("cache_entries"), bundle, cache, *words]
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    return subprocess.run(
        command, env=kept | variables, capture_output=True, text=True, timeout=120, check=False
    )


def fill_by_python(bundle: Path, cache: Path, *, group_writable: bool = False) -> list[str]:
    opened, folder = Bundle.open(bundle), Cache(cache, group_writable=group_writable)
    manifest = opened.manifest
    models = [entry.model for entry in (*manifest.encoders.values(), manifest.decoder)]
    models += [manifest.experts[name].model for name in sorted(manifest.experts)]
    return [str(folder.serving_graph(opened, model)) for model in models]


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file by its path; a lock has none, for Python's names its holder."""
    return {
        str(path.relative_to(folder)): b"" if path.suffix == ".lock" else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def test_both_make_the_same_files(program: Callable[[str], Path], tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    done = fill(program, bundle, tmp_path / "a")
    assert done.returncode == 0, done.stdout
    expected = fill_by_python(bundle, tmp_path / "b")
    assert [line.replace(str(tmp_path / "a"), "") for line in done.stdout.splitlines()] == [
        line.replace(str(tmp_path / "b"), "") for line in expected
    ]
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_each_uses_what_the_other_made(program: Callable[[str], Path], tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    fill_by_python(bundle, tmp_path / "python")
    before = stamps(tmp_path / "python")
    assert fill(program, bundle, tmp_path / "python").returncode == 0
    assert stamps(tmp_path / "python") == before
    assert fill(program, bundle, tmp_path / "cpp").returncode == 0
    before = stamps(tmp_path / "cpp")
    fill_by_python(bundle, tmp_path / "cpp")
    assert stamps(tmp_path / "cpp") == before


def test_a_damaged_entry_is_built_again(program: Callable[[str], Path], tmp_path: Path) -> None:
    bundle, cache = write_bundle(tmp_path / "bundle"), tmp_path / "cache"
    assert fill(program, bundle, cache).returncode == 0
    good = content(cache)
    for path in sorted(cache.rglob("*")):
        if path.name == "serve.onnx.data":
            path.write_bytes(path.read_bytes()[:-4] + b"oops")
        elif path.name == "serve.onnx" and "0" < path.parent.name[0] < "8":
            path.unlink()
            os.mkfifo(path)
    done = fill(program, bundle, cache)
    assert done.returncode == 0
    assert "is damaged and is built again: " in done.stderr
    assert content(cache) == good


@pytest.mark.parametrize("change", [negate, nudge, overflow])
def test_forged_weights_are_built_again(
    program: Callable[[str], Path], tmp_path: Path, change: Callable[[np.ndarray], None]
) -> None:
    bundle, cache = write_bundle(tmp_path / "bundle"), tmp_path / "cache"
    fill_by_python(bundle, cache)
    good = content(cache)
    for path in cache.rglob("serve.onnx.data"):
        forge(path, change)
    done = fill(program, bundle, cache)
    assert done.returncode == 0
    assert done.stderr.count("is damaged and is built again: ") == len(list(cache.rglob("serve.onnx.data")))
    assert content(cache) == good


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o2770])
def test_a_folder_that_others_can_write_is_refused_in_the_same_words(
    program: Callable[[str], Path], tmp_path: Path, mode: int
) -> None:
    bundle, cache = write_bundle(tmp_path / "bundle"), tmp_path / "cache"
    cache.mkdir()
    cache.chmod(mode)
    done = fill(program, bundle, cache)
    with pytest.raises(CacheFailure) as refusal:
        Cache(cache)
    assert (done.returncode, done.stdout) == (1, f"CacheFailure: {refusal.value}\n")
    if not mode & 0o002:
        assert fill(program, bundle, cache, "group").returncode == 0
        assert {path.stat().st_mode & 0o777 for path in cache.rglob("*.lock")} == {0o660}
        fill_by_python(bundle, cache, group_writable=True)


def test_a_default_that_cannot_be_had_gives_way_with_one_warning(
    program: Callable[[str], Path], tmp_path: Path
) -> None:
    bundle, cache = write_bundle(tmp_path / "bundle"), tmp_path / "aptp"
    cache.mkdir()
    cache.chmod(0o777)
    done = fill(program, bundle, "", XDG_CACHE_HOME=str(tmp_path))
    (told,) = done.stderr.splitlines()
    assert told.startswith(
        f"the cache {cache} can be written by every user: run `chmod o-w` on it; weights are "
    )
    folder = Path(done.stdout.splitlines()[0]).parents[2]
    assert told.endswith(f"into {folder}, until this process ends: name a folder with --cache to keep them")
    assert not folder.exists()
    assert list(cache.iterdir()) == []


def test_what_a_killed_process_left_is_no_obstacle(program: Callable[[str], Path], tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    for graph in fill_by_python(bundle, tmp_path / "elsewhere"):
        (tmp_path / "cache" / "serve" / f"{Path(graph).parent.name}.partial").mkdir(parents=True)
    assert fill(program, bundle, tmp_path / "cache").returncode == 0
    assert content(tmp_path / "cache") == content(tmp_path / "elsewhere")


def test_processes_that_start_together_agree(program: Callable[[str], Path], tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: fill(program, bundle, tmp_path / "cache"), range(4)))
    assert [done.returncode for done in results] == [0] * 4
    fill_by_python(bundle, tmp_path / "elsewhere")
    assert content(tmp_path / "cache") == content(tmp_path / "elsewhere")


def test_a_place_that_cannot_be_written_is_named(program: Callable[[str], Path], tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (tmp_path / "file").write_text("no folder")
    done = fill(program, bundle, tmp_path / "file")
    assert done.returncode == 1
    assert done.stdout.startswith(f"CacheFailure: {tmp_path / 'file'}/serve/")
    assert "cannot be written" in done.stdout


def test_damaged_weights_are_an_integrity_error(program: Callable[[str], Path], tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    weights = bundle / "experts/0/unet/model.onnx.data"
    weights.write_bytes(weights.read_bytes()[:-2] + b"!!")
    done = fill(program, bundle, tmp_path / "cache")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("IntegrityError: ")
    assert not list((tmp_path / "cache").rglob("*.partial"))
