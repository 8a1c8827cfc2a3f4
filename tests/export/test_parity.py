"""Rung 3: what decides whether an engine may run at its own precision."""

from pathlib import Path
from typing import Any

import pytest

from export import parity, tolerances
from export.errors import ParityError


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, float]:
    """The engine's error by precision, as the test says."""
    told: dict[str, float] = {}

    def error(head: Any, provider: str, precision: str, *rest: Any) -> float:
        assert provider == "openvino"
        return told[precision]

    monkeypatch.setattr(parity, "_error", error)
    return told


def rung(folder: Path) -> tuple[float, bool]:
    (folder / "model.onnx").touch()
    return parity.engine_beside_autocast(folder, None, [], [], 0.01, 1)  # type: ignore[arg-type]


def test_within_the_factor_it_may(errors: dict[str, float], tmp_path: Path) -> None:
    errors["fast"] = 0.01 * tolerances.AUTOCAST_FACTOR
    assert rung(tmp_path) == (errors["fast"], True)


def test_beyond_the_factor_it_serves_in_float32(errors: dict[str, float], tmp_path: Path) -> None:
    errors.update(fast=0.06, float32=1e-6)
    assert rung(tmp_path) == (0.06, False)


def test_an_engine_that_is_wrong_in_float32_too_is_refused(errors: dict[str, float], tmp_path: Path) -> None:
    errors.update(fast=0.06, float32=0.01)
    with pytest.raises(ParityError, match="float32 = PyTorch"):
        rung(tmp_path)
