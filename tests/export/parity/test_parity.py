"""Rung 3: what decides whether OpenVINO may compute an expert in less than float32."""

from pathlib import Path
from typing import Any

import pytest

from export.parity import ladder, tolerances
from runtime.errors import ParityError


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The engine's error by precision, as the test says."""
    told: dict[str, float] = {}

    def error(precision: str, output: str, feeds: Any, wanted: Any) -> float:
        assert output == "out_sample"
        return told[precision]

    monkeypatch.setattr(ladder.openvino, "open_model", lambda head, precision, threads: precision)
    monkeypatch.setattr(ladder, "_error", error)
    return told


def rung(folder: Path, precision: str = "bfloat16", autocast: float = 0.01) -> tuple[float, bool]:
    (folder / "model.onnx").touch()
    return ladder.openvino_beside_autocast(folder, "out_sample", [], [], precision, autocast, 1)


def test_within_the_factor_it_may(errors: dict[str, float], tmp_path: Path) -> None:
    errors["bfloat16"] = 0.01 * tolerances.AUTOCAST_FACTOR
    assert rung(tmp_path) == (errors["bfloat16"], True)


def test_beyond_the_factor_it_serves_in_float32(errors: dict[str, float], tmp_path: Path) -> None:
    errors.update(bfloat16=0.06, float32=1e-6)
    assert rung(tmp_path) == (0.06, False)


def test_an_engine_that_is_wrong_in_float32_too_is_refused(errors: dict[str, float], tmp_path: Path) -> None:
    errors.update(bfloat16=0.06, float32=0.01)
    with pytest.raises(ParityError, match="openvino in float32 = PyTorch"):
        rung(tmp_path)


def test_an_engine_that_is_no_number_is_refused(errors: dict[str, float], tmp_path: Path) -> None:
    errors.update(bfloat16=float("nan"), float32=float("nan"))
    with pytest.raises(ParityError, match="openvino in float32 = PyTorch"):
        rung(tmp_path)


def test_float32_has_to_equal_pytorch_and_earns_nothing(errors: dict[str, float], tmp_path: Path) -> None:
    errors["float32"] = tolerances.GRAPH
    assert rung(tmp_path, "float32", 0.0) == (tolerances.GRAPH, False)
    errors["float32"] *= 1.01
    with pytest.raises(ParityError, match="openvino in float32 = PyTorch"):
        rung(tmp_path, "float32", 0.0)


def test_less_than_float32_may_err_as_float32_does(errors: dict[str, float], tmp_path: Path) -> None:
    errors["bfloat16"] = tolerances.GRAPH
    assert rung(tmp_path, autocast=0.0) == (tolerances.GRAPH, True)
