"""Engine `openvino` in C++ draws what it draws in Python, and computes in what experts have earned."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.errors import EnvironmentMismatch
from runtime.machine import processor
from runtime.service.generated import Generated
from tests.bundles import edit
from tests.checkpoints import copy_bundle
from tests.cpp.drawing import Asked, Draw, drawn_by_python

pytestmark = pytest.mark.timeout(900)

ALONE: Asked = {"prompt": "a red circle", "code": "0", "steps": 6, "guidance": 3.0, "seed": 5}
CROWD: list[Asked] = [
    {**ALONE, "prompt": prompt, "code": code, "steps": 3 + seed, "guidance": guidance, "seed": seed}
    for seed, (prompt, code, guidance) in enumerate(
        [("a", "0", 1.0), ("blue", "1", 7.5), ("", "dense", 2.0), ("red", "0", 0.0)]
    )
]
COMPUTES = processor.vectors() in ("amx_bf16", "avx512_bf16")


@pytest.fixture(autouse=True)
def linked(build: Path) -> None:
    """Skip where there is nothing to run."""
    if "APTP_WITH_OPENVINO:BOOL=ON" not in (build / "CMakeCache.txt").read_text():
        pytest.skip("the build has no OpenVINO (APTP_WITH_OPENVINO)")


def earning(mini: Path, folder: Path, *experts: str) -> Path:
    """A copy of a bundle whose only experts that have earned bfloat16 here are these."""
    bundle = copy_bundle(mini, folder)
    earned = {"engine": "openvino", "precision": "bfloat16", "processor": processor.vectors()}

    def change(manifest: dict[str, Any]) -> None:
        for name, expert in manifest["experts"].items():
            expert.pop("earned", None)
            if name in experts:
                expert["earned"] = [earned]

    edit(bundle, change)
    return bundle


def share_within_one(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.mean(np.abs(one.astype(int) - other.astype(int)) <= 1))


def assert_close(told: list[dict[str, Any]], expected: list[Any]) -> None:
    for one, image in zip(told, expected, strict=True):
        assert isinstance(image, Generated), image
        assert one["status"] == 0, one
        assert one["expert"] == image.choice.expert
        assert share_within_one(one["pixels"], image.pixels) >= 0.999


@pytest.mark.parametrize("batch", [1, 4])
def test_images_are_those_of_python(batch: int, draw: Draw, mini: Path, cache: Path) -> None:
    how = (CROWD, batch, "openvino", "float32")
    assert_close(draw(mini, *how), drawn_by_python(mini, cache, *how))


def test_float32_is_that_of_the_cpu_provider(draw: Draw, mini: Path, cache: Path) -> None:
    told = draw(mini, [ALONE], 1, "openvino", "float32")
    assert_close(told, drawn_by_python(mini, cache, [ALONE], 1, "cpu"))


def test_an_expert_computes_in_what_it_has_earned(
    draw: Draw, mini: Path, cache: Path, tmp_path: Path
) -> None:
    bundle = earning(mini, tmp_path / "earning", "0")
    (float32,) = draw(bundle, [ALONE], 1, "openvino", "float32")
    (least,) = draw(bundle, [ALONE], 1, "openvino")
    assert np.array_equal(float32["pixels"], least["pixels"]) is not COMPUTES
    assert_close([least], drawn_by_python(bundle, cache, [ALONE], 1, "openvino"))
    other = {**ALONE, "code": "1"}
    (float32,) = draw(bundle, [other], 1, "openvino", "float32")
    (least,) = draw(bundle, [other], 1, "openvino")
    assert np.array_equal(float32["pixels"], least["pixels"])


def test_bfloat16_by_name_is_what_was_earned_or_refused(
    draw: Draw, mini: Path, cache: Path, tmp_path: Path
) -> None:
    bundle = earning(mini, tmp_path / "some", "0", "dense")
    with pytest.raises(EnvironmentMismatch) as refused:
        drawn_by_python(bundle, cache, [ALONE], 1, "openvino", "bfloat16")
    with pytest.raises(AssertionError) as also:
        draw(bundle, [ALONE], 1, "openvino", "bfloat16")
    assert str(refused.value) in str(also.value)
    assert ("expert '1' has not earned it" in str(refused.value)) is COMPUTES
    if COMPUTES:
        all_of_them = earning(mini, tmp_path / "all", "0", "1", "dense")
        (named,) = draw(all_of_them, [ALONE], 1, "openvino", "bfloat16")
        (least,) = draw(all_of_them, [ALONE], 1, "openvino")
        assert np.array_equal(named["pixels"], least["pixels"])
