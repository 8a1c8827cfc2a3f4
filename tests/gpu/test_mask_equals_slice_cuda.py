"""Masked and sliced UNets agree on a GPU, and fp16 stays finite."""

import numpy as np
import pytest
import torch

from aptp.model.gates import GatedUNet
from aptp.model.sliced import gates_of, slice_unet
from aptp.space.architecture import harden
from aptp.space.discover import discover
from tests.geometries import GEOMETRIES, make_inputs, make_unet

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]


@pytest.mark.parametrize("geometry", sorted(GEOMETRIES))
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float16, 2e-2), (torch.bfloat16, 1e-1)]
)
@torch.no_grad()
def test_masked_and_sliced_agree(geometry: str, dtype: torch.dtype, tolerance: float) -> None:
    unet = make_unet(geometry, torch.float32)
    space = discover(unet, depth="all")
    architecture = harden(space, np.random.default_rng(0).random(space.size))
    unet = unet.to("cuda", dtype)
    inputs = {
        name: {key: tensor.to("cuda", dtype) for key, tensor in value.items()}
        if isinstance(value, dict)
        else value.to("cuda", torch.float32 if name == "timestep" else dtype)
        for name, value in make_inputs(unet.cpu()).items()
    }
    sliced = slice_unet(unet, architecture).to("cuda")(**inputs).sample
    masked = GatedUNet(unet.to("cuda"), space)(**inputs, gates=gates_of(architecture, 2).to("cuda"))
    assert sliced.isfinite().all()
    assert (masked - sliced).float().square().mean().sqrt() <= tolerance * sliced.float().std()
