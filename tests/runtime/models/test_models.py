"""The models: an expert's graph is opened in what it has earned, on the engine it was earned on."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.bundle.reader import Bundle
from runtime.engines import openvino
from runtime.engines.session import Session
from runtime.errors import EnvironmentMismatch
from runtime.machine import processor
from runtime.models.models import Models
from runtime.models.sessions import Sessions
from tests.bundles import edit, write_bundle

EARNED = {"engine": "openvino", "precision": "bfloat16", "processor": "amx_bf16"}


@pytest.fixture
def bundle_path(tmp_path: Path) -> Path:
    """Expert 0 has earned bfloat16, and 1 has not."""
    path = write_bundle(tmp_path / "bundle")
    edit(path, lambda manifest: manifest["experts"]["0"].update(earned=[EARNED]))
    return path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Engine and precision of every graph, on a processor that computes in bfloat16; none is opened."""
    found: list[tuple[str, str]] = []

    def spy(self: Sessions, engine: str, model: Any, *, overrides: Any, precision: str = "float32") -> Any:
        found.append((engine, precision))
        return SimpleNamespace(require=lambda inputs, output: None)

    monkeypatch.setattr(Sessions, "open_on", spy)
    monkeypatch.setattr(processor, "vectors", lambda: "amx_bf16")
    monkeypatch.setattr(openvino, "missing", lambda: None)
    monkeypatch.setattr(openvino, "computes_in", lambda precision: True)
    return found


@pytest.mark.parametrize(
    ("engine", "asked", "expert", "wanted"),
    [
        ("openvino", None, "0", "bfloat16"),
        ("openvino", None, "1", "float32"),
        ("openvino", "float32", "0", "float32"),
        ("cpu", None, "0", "float32"),
    ],
)
def test_precision_of_an_expert(
    bundle_path: Path,
    cache_path: Path,
    opened: list[tuple[str, str]],
    engine: str,
    asked: str | None,
    expert: str,
    wanted: str,
) -> None:
    models = Models.open(bundle_path, engine=engine, precision=asked, cache=cache_path, batch=1, threads=1)
    models.open_engine(models.bucket(expert, 1, 8, 8))
    assert opened == [(engine, wanted)]


@pytest.mark.parametrize(("expert", "held"), [("0", "bfloat16"), ("1", "float32")])
def test_memory_on_openvino_is_counted_by_the_precision(
    bundle_path: Path, cache_path: Path, opened: list[tuple[str, str]], expert: str, held: str
) -> None:
    models = Models.open(bundle_path, engine="openvino", cache=cache_path)
    weights = (bundle_path / f"experts/{expert}/unet/model.onnx.data").stat().st_size / 2
    assert models.cost(models.bucket(expert, 1, 8, 8)) == round(openvino.HELD[held] * weights)


def test_the_decoder_runs_on_onnx_runtime_beside_openvino(
    bundle_path: Path, cache_path: Path, opened: list[tuple[str, str]]
) -> None:
    models = Models.open(bundle_path, engine="openvino", cache=cache_path)
    assert isinstance(models.open_decoder(models.decoder_bucket(8, 8)), Session)
    assert opened == []


def test_a_precision_that_an_expert_has_not_earned_is_refused_before_anything_opens(
    bundle_path: Path, cache_path: Path, opened: list[tuple[str, str]]
) -> None:
    with pytest.raises(EnvironmentMismatch, match="expert '1' has not earned it"):
        Models.open(bundle_path, engine="openvino", precision="bfloat16", cache=cache_path)
    assert opened == []
    assert Bundle.open(bundle_path).manifest.experts["0"].earned
