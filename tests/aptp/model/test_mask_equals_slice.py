"""The gated supernet and the sliced UNet are the same function, per gate kind and combined."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aptp.model.gates import GatedUNet
from aptp.model.sliced import gates_of, slice_unet
from aptp.model.slicer import scattered_state
from aptp.presets import PRESETS
from aptp.space.architecture import Architecture, full, harden
from aptp.space.discover import discover
from aptp.space.groups import Kind, Space
from tests.geometries import GEOMETRIES, make_inputs, make_unet

DOUBLE, SINGLE = 1e-12, 1e-5  # of the output's standard deviation: largest difference; root mean square
KINDS = [*Kind, "depth", "combined"]


@cache
def models(geometry: str, dtype: torch.dtype) -> tuple[object, GatedUNet]:
    unet = make_unet(geometry, dtype)
    return unet, GatedUNet(make_unet(geometry, dtype), discover(unet, depth="all"))


def random_architecture(space: Space, kind: str, seed: int) -> Architecture:
    """Random in the gates of one kind (or in all), everything else kept."""
    scores = np.random.default_rng(seed).random(space.size)
    for group, columns in space.columns():
        if kind not in (group.kind, "combined"):
            scores[columns] = 1
    if kind not in ("depth", "combined"):
        scores[space.width_gates :] = 1
    return harden(space, scores)


@torch.no_grad()
def both(geometry: str, architecture: Architecture, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    unet, supernet = models(geometry, dtype)
    inputs = make_inputs(unet)
    masked = supernet(**inputs, gates=gates_of(architecture, 2, dtype))
    return masked, slice_unet(unet, architecture)(**inputs).sample


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("geometry", sorted(GEOMETRIES))
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_in_double_precision(geometry: str, kind: str, seed: int) -> None:
    _, supernet = models(geometry, torch.float64)
    architecture = random_architecture(supernet.space, kind, seed)
    masked, sliced = both(geometry, architecture, torch.float64)
    assert (masked - sliced).abs().max() <= DOUBLE * sliced.std()


@pytest.mark.parametrize("geometry", sorted(GEOMETRIES))
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_in_single_precision(geometry: str, seed: int) -> None:
    _, supernet = models(geometry, torch.float32)
    masked, sliced = both(geometry, random_architecture(supernet.space, "combined", seed), torch.float32)
    assert (masked - sliced).square().mean().sqrt() <= SINGLE * sliced.std()


@pytest.mark.parametrize("geometry", sorted(GEOMETRIES))
@torch.no_grad()
def test_a_batch_may_mix_codes_and_depths(geometry: str) -> None:
    unet, supernet = models(geometry, torch.float64)
    architectures = [random_architecture(supernet.space, "combined", seed) for seed in range(3)]
    assert len({architecture.dropped for architecture in architectures}) > 1
    inputs = make_inputs(unet, batch=3)
    mixed = supernet(**inputs, gates=torch.cat([gates_of(a, 1, torch.float64) for a in architectures]))
    for i, architecture in enumerate(architectures):
        alone = slice_unet(unet, architecture)(**inputs).sample[i]
        assert (mixed[i] - alone).abs().max() <= DOUBLE * alone.std()


@pytest.mark.parametrize("geometry", sorted(GEOMETRIES))
@torch.no_grad()
def test_scattering_an_expert_back_gives_the_same_function(geometry: str) -> None:
    unet, supernet = models(geometry, torch.float64)
    architecture = random_architecture(supernet.space, "combined", 5)
    expert = slice_unet(make_unet(geometry, seed=9), architecture)  # weights the dense UNet does not have
    inputs = make_inputs(unet)
    wide = make_unet(geometry)
    wide.load_state_dict(scattered_state(expert.state_dict(), wide.state_dict(), architecture))
    wide = GatedUNet(wide, supernet.space)
    masked = wide(**inputs, gates=gates_of(architecture, 2, torch.float64))
    expected = expert(**inputs).sample
    assert (masked - expected).abs().max() <= DOUBLE * expected.std()


@torch.no_grad()
def test_the_dense_architecture_changes_nothing() -> None:
    unet, supernet = models("sd2", torch.float64)
    inputs = make_inputs(unet)
    architecture = full(supernet.space)
    expected = unet(**inputs).sample
    assert torch.equal(supernet(**inputs, gates=gates_of(architecture, 2, torch.float64)), expected)
    assert torch.equal(slice_unet(unet, architecture)(**inputs).sample, expected)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@torch.no_grad()
def test_on_the_true_sd21_geometry() -> None:
    from diffusers import UNet2DConditionModel

    from aptp.model.initial import randomise

    unet = UNet2DConditionModel(**PRESETS["sd21"].unet).eval()
    randomise(unet, torch.Generator().manual_seed(0))
    space = discover(unet)
    architecture = random_architecture(space, "combined", 0)
    inputs = {
        "sample": torch.randn(1, 4, 32, 32),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 77, 1024),
    }
    sliced = slice_unet(unet, architecture)(**inputs).sample
    masked = GatedUNet(unet, space)(**inputs, gates=gates_of(architecture))
    assert (masked - sliced).square().mean().sqrt() <= SINGLE * sliced.std()
