"""Compiled engines in C++: packages that PyTorch made of a small network, opened without Python.

Where the build has no PyTorch (APTP_WITH_AOTI), they are refused by what is missing.
"""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from runtime.engines import target
from tests.bundles import add_compiled, add_supernet, edit
from tests.checkpoints import copy_bundle
from tests.cpp.drawing import Asked, Draw, assert_agree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROWS, SIDE, EMBEDDING = 8, 16, 64  # most rows of a call; the mini bundle's side of latents, width of clocks
CODES = {"0": "1010", "1": "0110", "dense": "1111"}
REQUESTS: list[Asked] = [
    {
        "prompt": prompt,
        "code": code,
        "seed": seed,
        "steps": 3 + seed % 2,
        "guidance": 1.0 + seed % 2,
        "height": 32,
        "width": 32,
    }
    for seed, (prompt, code) in enumerate([("a", "0"), ("blue", "1"), ("a", "dense"), ("red", "0")])
]


class Net(nn.Module):
    """Takes what a UNet takes, and gates where it is a supernet; rows do not see each other."""

    def __init__(self, context: int) -> None:
        super().__init__()
        torch.manual_seed(context)
        self.mix, self.shift = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(context, 4)

    def forward(
        self,
        sample: Tensor,
        time_embedding: Tensor,
        encoder_hidden_states: Tensor,
        gates: Tensor | None = None,
    ) -> Tensor:
        shift = self.shift(encoder_hidden_states.mean(1)) + time_embedding.mean(1, keepdim=True)
        if gates is not None:
            shift = shift + gates
        return torch.tanh(self.mix(sample) + shift[:, :, None, None])


def package(path: Path, width: int, *, gated: bool) -> bytes:
    inputs = {
        "sample": torch.randn(2, 4, SIDE, SIDE),
        "time_embedding": torch.ones(2, EMBEDDING),
        "encoder_hidden_states": torch.randn(2, 77, width),
        **({"gates": torch.ones(2, 4)} if gated else {}),
    }
    batch = torch.export.Dim("batch", min=1, max=ROWS)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch about its own internals
        program = torch.export.export(
            Net(width).eval(), (), inputs, dynamic_shapes={name: {0: batch} for name in inputs}
        )
        torch._inductor.aoti_compile_and_package(program, package_path=str(path))
    return path.read_bytes()


def _strip(manifest: dict[str, Any]) -> None:
    """Leave no compiled engine, should the bundle have been built with some."""
    for expert in manifest["experts"].values():
        expert.pop("compiled", None)
        expert.pop("gates", None)


@pytest.fixture(scope="module")
def compiled(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini bundle, its experts made of packages of another network; not to be changed."""
    folder = tmp_path_factory.mktemp("compiled")
    bundle = copy_bundle(mini, folder)
    edit(bundle, _strip)
    here = dict(target.facts("cpu"))
    fields = {
        "precision": "float32",
        "profile": {"batch": [1, 2, ROWS], "height": [SIDE] * 3, "width": [SIDE] * 3},
        "target": {name: here[name] for name in ("device", "architecture", "torch")},
    }
    width = 32
    own = package(folder / "own.pt2", width, gated=False)
    for name in CODES:
        add_compiled(bundle, name, data=own, file=f"experts/{name}/unet/own.pt2", **fields)
    add_supernet(bundle, CODES, data=package(folder / "all.pt2", width, gated=True), **fields)
    return bundle


@pytest.fixture
def has_torch(build: Path) -> bool:
    return "APTP_WITH_AOTI:BOOL=ON" in (build / "CMakeCache.txt").read_text()


@pytest.mark.parametrize("engine", ["aoti", "supernet"])
def test_packages_draw_as_in_python(
    engine: str, has_torch: bool, compiled: Path, draw: Draw, cache: Path
) -> None:
    if not has_torch:
        with pytest.raises(AssertionError, match="this build opens no packages of PyTorch"):
            draw(compiled, REQUESTS, 4, engine)
        return
    assert_agree(draw, compiled, cache, REQUESTS[:1], 1, engine)
    assert_agree(draw, compiled, cache, REQUESTS, 4, engine)


def test_what_a_package_does_not_take_is_refused(
    has_torch: bool, compiled: Path, draw: Draw, tmp_path: Path
) -> None:
    if not has_torch:
        pytest.skip("the build has no PyTorch, and test_packages_draw_as_in_python shows the refusal")
    (told,) = draw(compiled, [{**REQUESTS[0], "height": 64, "width": 64}], 4, "aoti")
    assert told["status"] == 2
    assert "takes a height of 16 to 16 (of latents), not 32" in told["error"]


def test_plans_are_refused_by_what_is_missing(compiled: Path, draw: Draw) -> None:
    with pytest.raises(AssertionError, match="engine 'tensorrt' cannot be used: "):
        draw(compiled, REQUESTS, 4, "tensorrt")
