"""Compiled engines in the manifest: every field of the identity counts, and only what fits is opened."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import Pipeline
from runtime.bundle.compiled import identity
from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Compiled, Model, Range
from runtime.engines import target
from runtime.errors import IntegrityError, ManifestError, UsageError
from runtime.files.verified import FileEntry
from runtime.models import sessions
from runtime.models.models import Models
from runtime.request.params import GenerationParams
from tests.bundles import add_compiled, edit, write_bundle
from tests.runtime import serial

Entry = dict[str, Any]


@pytest.fixture
def compiled_path(tmp_path: Path) -> Path:
    bundle = write_bundle(tmp_path / "bundle", experts=["0"])
    add_compiled(bundle, "0", target={"device": "cpu", "architecture": "x86_64 avx2"})
    return bundle


def entry_of(manifest: dict[str, Any]) -> Entry:
    entry: Entry = manifest["experts"]["0"]["compiled"][0]
    return entry


def test_every_value_arrives(compiled_path: Path) -> None:
    (entry,) = Bundle.open(compiled_path).manifest.experts["0"].compiled
    assert (entry.kind, entry.precision, entry.file) == ("aoti", "float32", "experts/0/unet/aoti.pt2")
    assert entry.profile["batch"] == (1, 2, 4)
    assert entry.target == {"device": "cpu", "architecture": "x86_64 avx2"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m: entry_of(m).update(precision="bfloat16"), id="precision"),
        pytest.param(lambda m: entry_of(m)["profile"].update(batch=[1, 2, 8]), id="batch"),
        pytest.param(lambda m: entry_of(m)["profile"].update(height=[8, 8, 16]), id="height"),
        pytest.param(lambda m: entry_of(m)["profile"].update(width=[8, 8, 16]), id="width"),
        pytest.param(lambda m: entry_of(m)["target"].update(architecture="armv8"), id="architecture"),
        pytest.param(lambda m: entry_of(m)["target"].update(device="cuda"), id="device"),
        pytest.param(lambda m: entry_of(m)["target"].update(torch="2.13.0"), id="one more"),
        pytest.param(lambda m: m["experts"]["0"]["model"].update(identity="0" * 64), id="model"),
        pytest.param(
            lambda m: m["files"]["experts/0/unet/model.onnx.data"].update(sha256="0" * 64), id="weights"
        ),
        pytest.param(lambda m: m["files"]["experts/0/unet/model.onnx"].update(sha256="0" * 64), id="graph"),
        pytest.param(lambda m: entry_of(m).update(identity="0" * 64), id="identity"),
    ],
)
def test_an_identity_that_does_not_hold(compiled_path: Path, change: Callable[[Entry], None]) -> None:
    edit(compiled_path, change)
    with pytest.raises(ManifestError, match=r"experts '0'.compiled\[0\].identity: is not that of this model"):
        Bundle.open(compiled_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: entry_of(m).update(kind="aot"), "'aot' is not one of 'aoti'"),
        (lambda m: entry_of(m).update(precision="int8"), "'int8' is not one of"),
        (lambda m: entry_of(m).update(file="experts/0/unet/aot.pt2"), "names the file .* which is not there"),
        (lambda m: entry_of(m)["profile"].update(batch=[1, 2]), "must be three integers"),
        (lambda m: entry_of(m)["profile"].update(batch=[2, 1, 4]), "none below the one before"),
        (lambda m: entry_of(m)["profile"].update(batch=[0, 1, 4]), "0 is outside 1 to"),
        (lambda m: entry_of(m)["profile"].update(depth=[1, 1, 1]), "unknown field 'depth'"),
        (lambda m: entry_of(m)["target"].update(torch="2\n"), "names are words, and values printable"),
        (lambda m: entry_of(m).update(seconds=3), "unknown field 'seconds'"),
        (lambda m: m["experts"]["0"].update(compiled=[]), "must be a list of at least one item"),
        (
            lambda m: m["experts"]["0"].update(compiled=2 * m["experts"]["0"]["compiled"]),
            "is a second aoti engine for the same target",
        ),
    ],
)
def test_broken_rules(compiled_path: Path, change: Callable[[Entry], None], message: str) -> None:
    edit(compiled_path, change)
    with pytest.raises(ManifestError, match=message):
        Bundle.open(compiled_path)


class Doubling:
    """An engine that remembers what it was asked for."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def run(self, sample: np.ndarray, time_embedding: np.ndarray, conditioning: Any) -> np.ndarray:
        self.rows.append(len(sample))
        return np.zeros_like(sample)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Doubling]]:
    """Record what is opened, and the engine that stands for it."""
    made: list[tuple[Path, Doubling]] = []

    def open_it(path: Path, entry: Any, threads: int | None) -> Doubling:
        made.append((path, Doubling()))
        return made[-1][1]

    monkeypatch.setitem(sessions.OPENERS, "aoti", open_it)  # type: ignore[arg-type]
    monkeypatch.setattr(target, "mismatch", lambda entry: None)
    return made


def test_one_engine_serves_all_that_its_profile_takes(
    compiled_path: Path, tmp_path: Path, opened: list[tuple[Path, Doubling]]
) -> None:
    models = Models.open(compiled_path, engine="aoti", cache=tmp_path / "cache", batch=8)
    assert (models.engine, models.batch) == ("aoti", 2)  # four rows, two for each request
    serial.generate(models, ["red"] * 3, GenerationParams(code=0, steps=2, guidance=3.0))
    ((path, engine),) = opened
    assert path == compiled_path.resolve() / "experts/0/unet/aoti.pt2"
    assert engine.rows == [4, 4, 2, 2]


def test_a_size_that_the_profile_does_not_take(
    compiled_path: Path, tmp_path: Path, opened: list[tuple[Path, Doubling]]
) -> None:
    with (
        Pipeline.open(compiled_path, engine="aoti", cache=tmp_path / "cache") as runtime,
        pytest.raises(UsageError, match=r"'aoti' of expert '0' takes a height of 8 to 8 .*, not 16"),
    ):
        runtime.generate("red", GenerationParams(code=0, size=(16, 32)))


def test_machine_code_that_was_changed_is_not_opened(
    compiled_path: Path, tmp_path: Path, opened: list[tuple[Path, Doubling]]
) -> None:
    (compiled_path / "experts/0/unet/aoti.pt2").write_bytes(b"machine cod3")
    with (
        Pipeline.open(compiled_path, engine="aoti", cache=tmp_path / "cache") as runtime,
        pytest.raises(IntegrityError, match=r"aoti.pt2: SHA-256"),
    ):
        runtime.generate("red", GenerationParams(code=0))
    assert not opened


def test_the_example_of_an_identity() -> None:
    """The lines that docs/BUNDLE.md gives as an example have the hash that it says."""
    page = (Path(__file__).parents[3] / "docs/BUNDLE.md").read_text()
    example = page.partition("<!-- identity -->\n```text\n")[2]
    lines, _, rest = example.partition("\n```")
    found = re.search("has the identity `([0-9a-f]{64})`", rest)
    assert found is not None
    assert hashlib.sha256(f"{lines}\n".encode()).hexdigest() == found[1]
    entry = Compiled(
        kind="aoti",
        file="e",
        precision="bfloat16",
        profile={"batch": Range(1, 2, 16), "height": Range(64, 64, 64), "width": Range(64, 64, 64)},
        target={"torch": "2.13.0", "device": "cpu", "architecture": "x86_64 avx512_bf16"},
        identity="",
    )
    assert identity(entry, Model("g", "a" * 64), {"g": FileEntry(1, "b" * 64)}) == found[1]
