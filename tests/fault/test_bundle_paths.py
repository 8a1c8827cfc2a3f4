"""A3: no path in a manifest, and nothing on disk under a good path, makes a reader leave it or hang."""

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.bundle.reader import Bundle
from runtime.errors import IntegrityError, ManifestError
from tests.bundles import edit, write_bundle

WEIGHTS = "experts/0/unet/model.onnx.data"
SECONDS = 0.05  # the quickest of TRIES: another process may take the processor away from any one of them
TRIES = 20

HOSTILE = {
    "parent": "../x",
    "absolute": "/etc/passwd",
    "device": "/dev/zero",
    "climbing": "a/../../x",
    "inner parent": "a/../x",
    "empty component": "a//b",
    "trailing slash": "a/",
    "dot": ".",
    "dot component": "a/./b",
    "empty": "",
    "nul": "a\0b",
    "long": "a" * 5000,
    "long components": "/".join(["abc"] * 100),
    "drive": "C:\\x",
    "backslash": "..\\x",
    "fullwidth dots": "\uff0e\uff0e/x",
    "two dot leader": "\u2025/x",
    "surrogate": "\ud800",
    "hidden": ".git/config",
    "option": "-rf",
    "home": "~/x",
    "newline": "a\n",
    "space": "a b",
    "url": "file:///etc/passwd",
    "digits of another script": "\u0661",
    "the manifest": "manifest.json",
}


class Watch:
    """The files opened while it is on. An audit hook cannot be removed, so there is only one."""

    def __init__(self) -> None:
        self.opened: list[tuple[Any, int]] | None = None
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and self.opened is not None:
            self.opened.append((arguments[0], arguments[2]))

    @contextmanager
    def __call__(self) -> Iterator[list[tuple[Any, int]]]:
        self.opened = opened = []
        try:
            yield opened
        finally:
            self.opened = None


watch = Watch()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("paths") / "bundle", experts=["0"])


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "bundle")


def refused_quickly(read: Callable[[], object], error: type[Exception], match: str | None = None) -> None:
    for _ in range(TRIES):
        start = time.perf_counter()
        with pytest.raises(error, match=match):
            read()
        if time.perf_counter() - start < SECONDS:
            return
    pytest.fail(f"refused, but never within {SECONDS} s in {TRIES} tries")


def check_opened(opened: list[tuple[Any, int]], root: Path) -> None:
    """Only the root by its name; everything else one plain component at a time, and never through a link."""
    assert opened
    for path, flags in opened:
        if not isinstance(path, int) and Path(os.fsdecode(path)) != root:
            assert "/" not in path
            assert path not in ("", ".", "..")
            assert flags & os.O_NOFOLLOW


def graph(manifest: dict[str, Any], path: str) -> None:
    manifest["experts"]["0"]["model"]["graph"] = path


def weights(manifest: dict[str, Any], path: str) -> None:
    manifest["experts"]["0"]["model"]["weights"] = path


def tokenizer(manifest: dict[str, Any], path: str) -> None:
    manifest["encoders"][0]["tokenizer"]["file"] = path


def table(manifest: dict[str, Any], path: str) -> None:
    manifest["schedules"]["ddim"]["table"] = path


@pytest.mark.parametrize("place", [graph, weights, tokenizer, table])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_paths(root: Path, kind: str, place: Callable[[dict[str, Any], str], None]) -> None:
    def change(manifest: dict[str, Any]) -> None:
        place(manifest, HOSTILE[kind])
        manifest["files"][HOSTILE[kind]] = manifest["files"][WEIGHTS]

    edit(root, change)
    with watch() as opened:
        refused_quickly(lambda: Bundle.open(root), ManifestError)
    check_opened(opened, root)


def link(file: Path, outside: Path) -> None:
    file.symlink_to(outside / file.name)


def inner_link(file: Path, outside: Path) -> None:
    (file.parent / "real").write_bytes((outside / file.name).read_bytes())
    file.symlink_to("real")


def parent_link(file: Path, outside: Path) -> None:
    shutil.rmtree(file.parent)
    file.parent.symlink_to(outside)


def fifo(file: Path, outside: Path) -> None:
    os.mkfifo(file)


def folder(file: Path, outside: Path) -> None:
    file.mkdir()


def device(file: Path, outside: Path) -> None:
    try:
        os.mknod(file, 0o20600, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("making a device node needs a privilege that this process lacks")


def device_link(file: Path, outside: Path) -> None:
    file.symlink_to("/dev/zero")


def unix_socket(file: Path, outside: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(file.parent)  # a socket's name must be short
        try:
            server.bind(file.name)
        finally:
            os.chdir(here)


KINDS = [link, inner_link, parent_link, fifo, folder, device, device_link, unix_socket]


@pytest.mark.parametrize("method", ["read", "file"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_under_a_good_path(
    root: Path, tmp_path: Path, kind: Callable[[Path, Path], None], method: str
) -> None:
    bundle, file = Bundle.open(root), root / WEIGHTS
    # The file outside has the right bytes: only the way to it is wrong.
    outside = shutil.copytree(file.parent, tmp_path / "outside")
    file.unlink()
    kind(file, outside)
    with watch() as opened:
        refused_quickly(lambda: getattr(bundle, method)(WEIGHTS), IntegrityError, WEIGHTS)
    check_opened(opened, root)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256"])
@pytest.mark.parametrize("kind", [link, inner_link, fifo, folder, device_link])
def test_the_manifest_itself(
    root: Path, tmp_path: Path, kind: Callable[[Path, Path], None], name: str
) -> None:
    outside = shutil.copytree(root, tmp_path / "outside")
    (root / name).unlink()
    kind(root / name, outside)
    with watch() as opened, pytest.raises(IntegrityError, match=name):
        Bundle.open(root)
    check_opened(opened, root)


def test_files_that_are_not_listed_are_ignored(root: Path) -> None:
    (root / "extra").symlink_to("/etc/passwd")
    Bundle.open(root).verify()
