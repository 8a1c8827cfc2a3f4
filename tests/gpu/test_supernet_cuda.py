"""The gated supernet with the attention kernel on a GPU: the sliced experts, in a batch of four codes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from aptp.model import attention
from aptp.model.gates import GatedUNet
from aptp.model.sliced import gates_of, slice_unet
from aptp.space.architecture import harden
from aptp.space.discover import discover
from export.engines import aoti
from export.graphs import clock
from runtime.bundle.schema import Compiled, Range
from runtime.engines.aoti import open_package
from tests.aptp.model.test_attention import CODES, HEADS
from tests.geometries import make_inputs

pytestmark = pytest.mark.gpu


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The arguments of every call of the kernel, which computes all the same."""
    found: list[object] = []
    kernel = attention.gated_attention
    monkeypatch.setattr(attention, "gated_attention", lambda *x, **y: found.append(x) or kernel(*x, **y))
    return found


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float16, 2e-2), (torch.bfloat16, 1e-1)]
)
@torch.no_grad()
def test_a_batch_of_four_codes_equals_their_slices(
    dtype: torch.dtype, tolerance: float, device: str, calls: list[object]
) -> None:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**HEADS).eval()
    space = discover(unet, depth="all")
    scores = np.random.default_rng(0).random((CODES, space.size))
    codes = [harden(space, row) for row in scores]
    inputs = {name: x.to(device, dtype) for name, x in make_inputs(unet, batch=CODES).items()}
    unet = unet.to(device, dtype)
    sliced = [
        slice_unet(unet, code)(**{name: x[i : i + 1] for name, x in inputs.items()}).sample[0]
        for i, code in enumerate(codes)
    ]
    gates = torch.cat([gates_of(code) for code in codes]).to(device)
    mixed = GatedUNet(unet, space)(**inputs, gates=gates)
    assert calls
    for one, other in zip(mixed, sliced, strict=True):
        assert (one - other).float().square().mean().sqrt() <= tolerance * other.float().std()


@torch.no_grad()
def test_a_package_serves_a_batch_of_four_codes(device: str, tmp_path: Path, calls: list[object]) -> None:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**HEADS).eval()
    space = discover(unet, depth="all")
    codes = [harden(space, row) for row in np.random.default_rng(0).random((CODES, space.size))]
    inputs = {name: x.float() for name, x in make_inputs(unet, batch=CODES).items()}
    sliced = [
        slice_unet(unet, code)(**{name: x[i : i + 1] for name, x in inputs.items()}).sample[0]
        for i, code in enumerate(codes)
    ]
    inputs = {**clock.take_out(unet).fed(inputs), "gates": torch.cat([gates_of(code) for code in codes])}
    profile, made_for = {"batch": (1, 2, CODES)}, {"device": device}
    wanted = {"kind": "supernet", "precision": "float32", "profile": profile, "target": made_for}
    path = tmp_path / "aoti.pt2"
    aoti.write_package(GatedUNet(unet, space), {name: x[:2] for name, x in inputs.items()}, wanted, path)
    assert bool(calls) == (device == "cuda")
    entry = Compiled("supernet", path.name, "float32", {"batch": Range(1, 2, CODES)}, made_for, "")
    arrays = {name: x.numpy() for name, x in inputs.items()}
    mixed = open_package(path, entry).run(arrays.pop("sample"), arrays.pop("time_embedding"), arrays)
    for one, other in zip(torch.from_numpy(mixed), sliced, strict=True):
        assert (one - other).square().mean().sqrt() <= 1e-4 * other.std()
