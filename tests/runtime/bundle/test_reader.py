import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.bundle.reader import Bundle
from runtime.errors import IntegrityError, NotABundle
from runtime.files.verified import check_path


def test_a_good_bundle_verifies(bundle: Bundle) -> None:
    bundle.verify()
    paths = bundle.model(bundle.manifest.experts["0"].model)
    assert [path.name for path in paths] == ["model.onnx", "model.onnx.data", "serve.onnx"]
    assert bundle.read("schedules/ddim.bin") == (bundle.root / "schedules/ddim.bin").read_bytes()


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(NotABundle, match="No such file or directory; `python -m export.build --codes all"):
        Bundle.open(tmp_path / "nowhere")


def test_a_file_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotABundle, match="cannot be opened as a folder: Not a directory"):
        Bundle.open(tmp_path / "file")


def test_a_loop_of_links_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(NotABundle, match="loop: cannot be opened as a folder"):
        Bundle.open(tmp_path / "loop")


@pytest.mark.parametrize("name", ["x" * 256, "x/" * 2500, "a\0b"])
def test_a_name_that_no_folder_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotABundle, match="cannot be opened as a folder"):
        Bundle.open(tmp_path / name)


def test_a_folder_that_cannot_be_read(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)  # a process with all rights cannot make such a folder
    with pytest.raises(NotABundle, match="cannot be opened as a folder: Permission denied"):
        Bundle.open(bundle_path)


def test_a_foreign_folder(tmp_path: Path) -> None:
    with pytest.raises(NotABundle, match=r"has no manifest.json, so it is not a bundle; `python -m export"):
        Bundle.open(tmp_path)


def test_a_diffusers_folder(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").touch()
    with pytest.raises(NotABundle, match=r"a diffusers pipeline or a checkpoint.*--checkpoint"):
        Bundle.open(tmp_path)


@pytest.mark.parametrize(
    "line", ["", "{}  manifest.json", "{}  other.json\n", "{} manifest.json\n", "x{}  manifest.json\n"]
)
def test_a_malformed_signature(copy_path: Path, line: str) -> None:
    digest = hashlib.sha256((copy_path / "manifest.json").read_bytes()).hexdigest()
    (copy_path / "manifest.sha256").write_text(line.format(digest))
    with pytest.raises(IntegrityError, match=r"manifest.sha256"):
        Bundle.open(copy_path)


def test_a_signature_of_something_else(copy_path: Path) -> None:
    (copy_path / "manifest.sha256").write_text(f"{'0' * 64}  manifest.json\n")
    with pytest.raises(IntegrityError, match=r"is not what manifest.sha256 says"):
        Bundle.open(copy_path)


def test_a_missing_signature(copy_path: Path) -> None:
    (copy_path / "manifest.sha256").unlink()
    with pytest.raises(IntegrityError, match=r"manifest.sha256: is missing; the bundle is damaged"):
        Bundle.open(copy_path)


def test_a_link_to_a_bundle_may_be_opened(bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(bundle_path)
    assert Bundle.open(tmp_path / "current").root == bundle_path.resolve()


def missing(file: Path) -> None:
    file.unlink()


def link(file: Path) -> None:
    file.rename(file.with_name("real"))
    file.symlink_to("real")


def linked_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("real"))
    file.parent.symlink_to("real")


def file_for_folder(file: Path) -> None:
    shutil.rmtree(file.parent)
    file.parent.touch()


def folder_for_file(file: Path) -> None:
    file.unlink()
    file.mkdir()


LINK = "is a link, or is reached through one or through something that is no folder"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (missing, "is missing"),
        (link, LINK),
        (linked_folder, LINK),
        (file_for_folder, LINK),
        (folder_for_file, "is not a regular file"),
    ],
)
def test_why_a_file_is_refused_and_what_to_do(
    copy_path: Path, change: Callable[[Path], None], reason: str
) -> None:
    bundle = Bundle.open(copy_path)
    change(copy_path / "router/model.onnx")
    with pytest.raises(IntegrityError) as refusal:
        bundle.file("router/model.onnx")
    remedy = "the bundle is damaged or was changed: build or copy it again"
    assert str(refusal.value) == f"{copy_path}/router/model.onnx: {reason}; {remedy}"


def test_files_that_are_not_listed_are_not_read(bundle: Bundle) -> None:
    with pytest.raises(IntegrityError, match="extra: is not listed"):
        bundle.read("extra")


def test_a_file_is_hashed_once_and_again_when_touched(
    copy_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[int] = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: (hashed.append(1), digest(file, name))[1])
    bundle, path = Bundle.open(copy_path), "router/model.onnx"
    for _ in range(3):
        bundle.file(path)
    assert len(hashed) == 1
    os.utime(copy_path / path, ns=(1, 1))
    bundle.file(path)
    assert len(hashed) == 2


def test_no_descriptor_is_left_open(copy_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    bundle = Bundle.open(copy_path)
    bundle.verify()
    (copy_path / "router/model.onnx").unlink()
    (copy_path / "router/model.onnx").mkdir()
    for _ in range(5):
        with pytest.raises(IntegrityError):
            bundle.file("router/model.onnx")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("path", ["a", "a/b", "experts/0/unet/model.onnx.data", "_x", "A-b.c", "a" * 255])
def test_good_paths(path: str) -> None:
    assert check_path(path, "here") == path
