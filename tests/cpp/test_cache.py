"""The cache in C++ is Python's: the same folder, keys and files, whoever makes them."""

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runtime.bundle.reader import Bundle
from runtime.models.cache import Cache
from tests.bundles import write_bundle


def fill(program: Callable[[str], Path], bundle: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    command = [program("cache_entries"), bundle, cache]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def fill_by_python(bundle: Path, cache: Path) -> list[str]:
    opened, folder = Bundle.open(bundle), Cache(cache)
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
        elif path.name == "record.json" and "0" < path.parent.name[0] < "8":
            path.write_text("{")
    assert fill(program, bundle, cache).returncode == 0
    assert content(cache) == good


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
