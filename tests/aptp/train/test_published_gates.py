"""The published places of gates, and what is wrong with them."""

import numpy as np
import pytest
import torch

from aptp.model.gates import GatedUNet
from aptp.model.sliced import gates_of, slice_unet
from aptp.space.architecture import harden
from aptp.space.discover import discover
from aptp.space.groups import Kind
from aptp.train.published_gates import PublishedGates
from tests.geometries import make_inputs, make_unet


def leak(kind: Kind) -> float:
    """How far masked is from sliced with half of one kind's gates closed, in output stds."""
    unet, masked = make_unet("sd2"), make_unet("sd2")
    supernet = PublishedGates(masked, discover(masked))
    scores = np.ones(supernet.space.size)
    for group, columns in supernet.space.columns():
        if group.kind is kind:
            scores[columns] = np.arange(group.gates) % 2
    architecture = harden(supernet.space, scores)
    inputs = make_inputs(unet)
    with torch.no_grad():
        sliced = slice_unet(unet, architecture)(**inputs).sample
        found = supernet(**inputs, gates=gates_of(architecture, 2, torch.float64))
    return ((found - sliced).abs().max() / sliced.std()).item()


def test_closed_resnet_gates_leak() -> None:
    assert leak(Kind.RESNET) > 1e-2


@pytest.mark.parametrize("kind", [Kind.SELF_ATTENTION, Kind.CROSS_ATTENTION, Kind.FEED_FORWARD])
def test_other_gates_do_not(kind: Kind) -> None:
    assert leak(kind) < 1e-12


@torch.no_grad()
def test_soft_resnet_gates_do_almost_nothing_before_the_norm() -> None:
    effect = {}
    for gating in (PublishedGates, GatedUNet):
        unet = make_unet("sd2")
        supernet = gating(unet, discover(unet))
        gates = torch.ones(2, supernet.space.size, dtype=torch.float64)
        inputs = make_inputs(unet)
        dense = supernet(**inputs, gates=gates)
        for group, columns in supernet.space.columns():
            if group.kind is Kind.RESNET:
                gates[:, columns] = 0.5
        effect[gating] = (supernet(**inputs, gates=gates) - dense).abs().max()
    assert effect[PublishedGates] < 1e-3 * effect[GatedUNet]


def test_open_gates_change_nothing() -> None:
    unet, masked = make_unet("sd2"), make_unet("sd2")
    supernet = PublishedGates(masked, discover(masked))
    inputs = make_inputs(unet)
    with torch.no_grad():
        found = supernet(**inputs, gates=torch.ones(2, supernet.space.size, dtype=torch.float64))
        assert torch.equal(found, unet(**inputs).sample)
