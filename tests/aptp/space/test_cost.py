"""MACs against torch's own counter, on real geometry and on sliced UNets."""

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch.utils.flop_counter import FlopCounterMode

from aptp.model.sliced import SlicedUNet, config_of
from aptp.presets import PRESETS
from aptp.space.architecture import Architecture, full, harden
from aptp.space.cost import mac_cost
from aptp.space.discover import discover
from aptp.space.groups import Space
from aptp.space.macs import example_inputs
from runtime.errors import SpaceError
from tests.geometries import GEOMETRIES


def counted(unet: UNet2DConditionModel, height: int, width: int, tokens: int) -> int:
    """torch's count of one call. Fused attention is invisible to it on CPU; plain products are not."""
    unet.set_attn_processor(AttnProcessor())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        unet(**example_inputs(unet, height, width, tokens))
    return int(counter.get_total_flops()) // 2


def dense(config: dict[str, object]) -> UNet2DConditionModel:
    with torch.device("meta"):
        return UNet2DConditionModel(**config)


def sliced(config: dict[str, object], architecture: Architecture) -> UNet2DConditionModel:
    with torch.device("meta"):
        return SlicedUNet(architecture=config_of(architecture), **config)


@pytest.mark.parametrize(("latent", "billions"), [(64, 402.1), (96, 1074.6)])
def test_sd21_costs_what_it_really_costs(latent: int, billions: float) -> None:
    unet = dense(PRESETS["sd21"].unet)
    cost = mac_cost(unet.config, discover(unet), latent, latent)
    assert cost.dense / 1e9 == pytest.approx(billions, abs=0.05)
    assert cost.dense == counted(unet, latent, latent, 77)


def test_sd21_sliced_costs_what_torch_counts() -> None:
    unet = dense(PRESETS["sd21"].unet)
    space = discover(unet)
    architecture = harden(space, np.random.default_rng(0).random(space.size))
    cost = mac_cost(unet.config, space, 64, 64)
    assert cost.of(architecture) == counted(sliced(PRESETS["sd21"].unet, architecture), 64, 64, 77)


@pytest.mark.parametrize("geometry", sorted(GEOMETRIES))
@pytest.mark.parametrize("seed", range(3))
def test_any_architecture_costs_what_torch_counts(geometry: str, seed: int) -> None:
    config = GEOMETRIES[geometry]
    unet = dense(config)
    space = discover(unet, depth="all")
    architecture = harden(space, np.random.default_rng(seed).random(space.size))
    cost = mac_cost(unet.config, space, 8, 16, 7)
    assert cost.of(full(space)) == cost.dense == counted(unet, 8, 16, 7)
    assert cost.of(architecture) == counted(sliced(config, architecture), 8, 16, 7)


def _small() -> tuple[Space, object]:
    unet = dense(GEOMETRIES["sd2"])
    return discover(unet), unet.config


def test_cost_of_gates_is_the_cost_of_the_architecture_and_has_its_gradient() -> None:
    space, config = _small()
    cost = mac_cost(config, space, 8, 8)
    architecture = harden(space, np.random.default_rng(1).random(space.size))
    gates = torch.tensor(architecture.keep, dtype=torch.float64).repeat(2, 1).requires_grad_()
    total = cost(gates)
    assert total.tolist() == [cost.of(architecture)] * 2
    total.sum().backward()
    assert gates.grad is not None
    # Removing one kept gate of a live sublayer changes the cost by its gradient.
    column = next(
        columns.start + int(np.flatnonzero(architecture.keep[columns])[0])
        for (_, columns), owner in zip(space.columns(), space.owner, strict=True)
        if owner is None and architecture.keep[columns].sum() > 1
    )
    less = architecture.keep.copy()
    less[column] = False
    difference = cost.of(architecture) - cost.of(Architecture(space, less))
    assert gates.grad[0, column].item() == pytest.approx(difference)


def test_latents_that_cannot_be_halved_have_no_cost() -> None:
    space, config = _small()
    with pytest.raises(SpaceError, match="multiples of 2"):
        mac_cost(config, space, 7, 8)


def test_a_unet_that_could_not_be_exported_has_no_cost() -> None:
    unet = dense({**GEOMETRIES["sd2"], "num_class_embeds": 3})
    with pytest.raises(SpaceError, match="num_class_embeds is 3"):
        mac_cost(unet.config, discover(unet), 8, 8)
