"""The order of published vectors, on the published geometry and where it does not fit."""

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from aptp.convert.layout import Structure, parse, space_of
from aptp.presets import PRESETS
from aptp.space.discover import discover
from runtime.errors import CheckpointError
from tests.geometries import GEOMETRIES, make_unet
from tests.published import structure


def published() -> dict[str, Any]:
    """SD 2.1's structure as the published configs have it: resnets first, then transformers."""
    width: list[list[int]] = []
    depth: list[list[int]] = []

    def block(resnets: int, heads: int | None, skippable: bool = True) -> None:
        transformers = 0 if heads is None else (resnets if skippable else 1)
        for count, gates in ((resnets, [32]), (transformers, [heads or 0, heads or 0, 32])):
            width.extend([gates] * count)
            depth.extend([[int(skippable and i == count - 1)] for i in range(count)])

    for heads in (5, 10, 20, None):
        block(2, heads)
    block(2, 20, skippable=False)
    for heads in (None, 20, 10, 5):
        block(3, heads)
    return {"width": width, "depth": depth}


def test_sd21_has_the_published_gates() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**PRESETS["sd21"].unet)
    found = parse(published(), "here")
    space = space_of(unet, found)
    assert (len(space.widths), space.width_gates, len(space.depths), space.size) == (70, 1606, 14, 1620)
    assert [gate.module.partition("_")[0] for gate in space.depths] == ["down"] * 7 + ["up"] * 7
    assert found.groups == [group.gates for group in space.widths]
    assert not space.left_dense


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_other_geometries_fit_their_own_structure(geometry: str) -> None:
    unet = make_unet(geometry)
    space = space_of(unet, parse(structure(discover(unet)), "here"))
    assert space == discover(unet)


@pytest.mark.parametrize(
    "found",
    [
        None,
        {"width": [[32]]},
        {"width": [[32]], "depth": []},
        {"width": [], "depth": []},
        {"width": [[0]], "depth": [[0]]},
        {"width": [[]], "depth": [[0]]},
        {"width": [[True]], "depth": [[0]]},
        {"width": [[32]], "depth": [[2]]},
        {"width": "32", "depth": "0"},
    ],
)
def test_what_is_no_structure(found: Any) -> None:
    with pytest.raises(CheckpointError, match="here: 'structure' does not list"):
        parse(found, "here")


def test_structures_of_other_unets() -> None:
    unet = make_unet("sd2")
    own = parse(structure(discover(unet)), "here")
    with pytest.raises(CheckpointError, match="has 3 sublayers, the pipeline's UNet 1"):
        space_of(unet, Structure(own.widths[:3], own.skippable[:3]))
    with pytest.raises(CheckpointError, match=r"down_blocks.0.resnets.0 has groups of \[8\] gates"):
        space_of(unet, Structure(((16,), *own.widths[1:]), own.skippable))
    all_of_them = Structure(own.widths, (True,) * len(own.widths))
    with pytest.raises(CheckpointError, match="cannot be skipped: it has no identity path"):
        space_of(unet, all_of_them)
