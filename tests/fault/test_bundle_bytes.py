"""A1, A2: a wrong byte anywhere in a bundle is refused before anything parses it."""

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import onnxruntime
import pytest
import tokenizers

from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Model
from runtime.diffusion.schedule import Solver
from runtime.engines.session import open_session
from runtime.errors import IntegrityError
from runtime.models.cache import Cache
from runtime.text.tokenizer import Tokenizer
from tests.bundles import write_bundle

TRIALS = 500


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bytes") / "bundle", experts=["0", "1"])


@pytest.fixture
def parsers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls into the libraries that parse a bundle's files: none may happen."""
    calls: list[str] = []

    def spy(name: str) -> MagicMock:
        def record(*_: Any, **__: Any) -> MagicMock:
            calls.append(name)
            session = MagicMock()
            session.get_providers.return_value = ["CPUExecutionProvider"]
            return session

        return MagicMock(side_effect=record, from_str=record)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy("onnxruntime"))
    monkeypatch.setattr(tokenizers, "Tokenizer", spy("tokenizers"))
    return calls


def models(bundle: Bundle) -> Iterator[Model]:
    manifest = bundle.manifest
    yield from (encoder.model for encoder in manifest.encoders.values())
    for expert in manifest.experts.values():
        yield from (expert.model, expert.clock)
    yield from (manifest.router.model, manifest.decoder.model)


def consume(root: Path, path: str, cache: Path) -> None:
    """Do with a file what the runtime does with it."""
    bundle = Bundle.open(root)
    for encoder in bundle.manifest.encoders.values():
        if encoder.tokenizer.file == path:
            Tokenizer.load(bundle, encoder.tokenizer)
        if encoder.tokenizer.characters == path:  # for readers in other languages
            bundle.read(path)
    for name, schedule in bundle.manifest.schedules.items():
        if schedule.table == path:
            Solver.load(bundle, name)
    for model in models(bundle):
        if path in model.paths:
            served = replace(model, serve=None) if path == model.graph else model
            open_session(Cache(cache).serving_graph(bundle, served), "cpu")


def paths(root: Path) -> list[str]:
    return sorted([*Bundle.open(root).manifest.files, "manifest.json", "manifest.sha256"])


def refuse(root: Path, path: str, data: bytes, cache: Path) -> None:
    """With `data` in its place, the file must be refused by its name; then it gets its own bytes back."""
    good = (root / path).read_bytes()
    (root / path).write_bytes(data)
    try:
        with pytest.raises(IntegrityError) as refusal:
            consume(root, path, cache)
    finally:
        (root / path).write_bytes(good)
    assert path in str(refusal.value)


def test_the_good_bundle_is_consumed(root: Path, tmp_path: Path, parsers: list[str]) -> None:
    for path in paths(root):
        consume(root, path, tmp_path)
    assert set(parsers) == {"onnxruntime", "tokenizers"}


def test_500_flipped_bits(root: Path, tmp_path: Path, parsers: list[str]) -> None:
    draw, every = random.Random(0), paths(root)
    for trial in range(TRIALS):
        path = every[trial % len(every)]
        data = bytearray((root / path).read_bytes())
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        refuse(root, path, bytes(data), tmp_path)
    assert parsers == []
    assert list(tmp_path.rglob("serve.onnx*")) == []


def test_truncated_and_extended_files(root: Path, tmp_path: Path, parsers: list[str]) -> None:
    for path in paths(root):
        data = (root / path).read_bytes()
        for wrong in (b"", data[:1], data[: len(data) // 2], data[:-1], data + b"x"):
            refuse(root, path, wrong, tmp_path)
    assert parsers == []


@pytest.mark.parametrize("name", ["model.onnx.data", "model.onnx", "serve.onnx"])
def test_files_swapped_between_experts(root: Path, tmp_path: Path, parsers: list[str], name: str) -> None:
    # Synthetic experts differ in their weights only: a graph is replaced by its own bytes backwards.
    other = (root / f"experts/1/unet/{name}").read_bytes()
    same = other == (root / f"experts/0/unet/{name}").read_bytes()
    refuse(root, f"experts/0/unet/{name}", other[::-1] if same else other, tmp_path)
    assert parsers == []


def test_files_swapped_between_bundles(root: Path, tmp_path: Path, parsers: list[str]) -> None:
    other = write_bundle(tmp_path / "other", experts=["0", "1"], seed=1)
    unet, encoder = "experts/0/unet/model.onnx.data", "text_encoder/model.onnx.data"
    for path in (unet, encoder, "router/model.onnx", "manifest.json"):
        refuse(root, path, (other / path).read_bytes(), tmp_path / "cache")
    assert parsers == []


def test_a_file_changed_after_it_was_checked(root: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(root, tmp_path / "copy")
    bundle = Bundle.open(copy)
    path = "schedules/ddim.bin"
    bundle.file(path)
    data = bytearray((copy / path).read_bytes())
    data[0] ^= 1
    (copy / path).write_bytes(data)
    with pytest.raises(IntegrityError, match="ddim"):
        bundle.file(path)


def test_a_missing_file(root: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(root, tmp_path / "copy")
    (copy / "router/model.onnx").unlink()
    with pytest.raises(IntegrityError, match="router/model.onnx"):
        Bundle.open(copy).verify()
