"""Routers of either kind, through their file; files that hold another, or none."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from aptp.checkpoint.router_file import NAME, read_router, write_router
from aptp.model.gated_router import GatedRouter
from aptp.model.router import Router
from aptp.space.discover import discover
from aptp.space.groups import Space
from runtime.errors import CheckpointError
from tests.geometries import make_unet

WIDTH, CODES = 6, 3


@pytest.fixture(scope="module")
def space() -> Space:
    return discover(make_unet("sd2"))


def written(folder: Path, space: Space, kind: str) -> Router:
    torch.manual_seed(0)
    router = GatedRouter(WIDTH, space, CODES) if kind == "gated" else Router(WIDTH, space.size, CODES)
    torch.nn.init.normal_(router.codes)
    if isinstance(router, GatedRouter):
        router.ranks.copy_(router.ranks.flip(0))
    write_router(router, folder)
    return router


@pytest.mark.parametrize("kind", ["cosine", "gated"])
def test_round_trip(tmp_path: Path, space: Space, kind: str) -> None:
    router, prompts = written(tmp_path, space, kind), torch.randn(5, 1, WIDTH)
    again = read_router(tmp_path, kind, space, CODES)
    assert again.kind == kind
    assert torch.equal(again(prompts, torch.ones(5, 1)), router(prompts, torch.ones(5, 1)))


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        ("cosine", "codes", torch.nan, "codes holds values that are not finite"),
        ("gated", "noise", torch.inf, "noise holds values that are not finite"),
        ("gated", "ranks", 1, "are no order of the depth gates"),
        ("gated", "temperature", 0, "temperature is 0; it must be above 0"),
    ],
)
def test_values_that_are_no_routers(
    tmp_path: Path, space: Space, kind: str, name: str, value: float, message: str
) -> None:
    written(tmp_path, space, kind)
    state = load_file(tmp_path / NAME)
    state[name].fill_(value)
    save_file(state, tmp_path / NAME)
    with pytest.raises(CheckpointError, match=f"does not hold a {kind} router: .*{message}"):
        read_router(tmp_path, kind, space, CODES)


@pytest.mark.parametrize(("kind", "other"), [("cosine", "gated"), ("gated", "cosine")])
def test_a_router_of_the_other_kind(tmp_path: Path, space: Space, kind: str, other: str) -> None:
    written(tmp_path, space, kind)
    with pytest.raises(CheckpointError, match=f"does not hold a {other} router"):
        read_router(tmp_path, other, space, CODES)
