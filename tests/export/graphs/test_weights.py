"""Rounding to float16 and the file the rounded weights lie in."""

import numpy as np
import pytest
import torch
from torch import nn

from export.graphs import weights
from runtime.errors import WeightError


def test_rounding_keeps_dtype_and_is_exact_afterwards():
    module = nn.Linear(40, 30)
    before = module.weight.detach().clone()
    weights.round_to_half(module)
    assert module.weight.dtype == torch.float32
    assert torch.equal(module.weight, before.half().float())
    assert weights.exact_half(module.weight.detach().numpy()) is not None


@pytest.mark.parametrize("value", [1e5, -1e5, float("inf"), float("nan")])
def test_what_float16_cannot_hold_is_refused_by_name(value):
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with torch.no_grad():
        module[1].bias[0] = value
    with pytest.raises(WeightError, match=r"1\.bias") as caught:
        weights.round_to_half(module)
    assert caught.value.exit_code == 3


def test_buffers_are_rounded_and_integers_left_alone():
    module = nn.BatchNorm1d(3)
    module.running_mean.fill_(0.1)
    weights.round_to_half(module)
    assert torch.equal(module.running_mean, torch.full((3,), 0.1).half().float())
    assert module.num_batches_tracked.dtype == torch.int64


@pytest.mark.parametrize(
    ("value", "exact"),
    [(0.5, True), (0.1, False), (65504.0, True), (65520.0, False), (2.0**-24, True), (1e-9, False)],
)
def test_exact_half(value, exact):
    assert (weights.exact_half(np.full(3, value, np.float32)) is not None) == exact


def test_widening_goes_element_by_element(tmp_path):
    halves = np.random.default_rng(0).standard_normal(5000).astype("<f2")
    (tmp_path / "halves").write_bytes(halves.tobytes())
    weights.widen(tmp_path / "halves", tmp_path / "floats")
    floats = np.fromfile(tmp_path / "floats", "<f4")
    assert np.array_equal(floats, halves.astype("<f4"))
