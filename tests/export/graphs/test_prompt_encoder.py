"""A checkpoint that routes by an encoder of its own, built and served: prompts go where torch sends them."""

import shutil
from pathlib import Path

import pytest
import torch

from aptp.checkpoint.reader import Checkpoint
from aptp.evaluate.routing import routes
from export.build import __main__ as build
from runtime import Pipeline
from tests.checkpoints import command
from tests.encoders import give_encoder

pytestmark = pytest.mark.timeout(300)

PROMPTS = ["", "a red circle", "two dogs", "a photo of the word hello", "a small blue star left of a ring"]
LONG = "a large green triangle below the cross " * 8


@pytest.fixture(scope="module")
def checkpoint(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """`mini` with a sentence encoder and a router that tells the prompts apart."""
    folder = shutil.copytree(mini, tmp_path_factory.mktemp("own") / "checkpoint")
    return Checkpoint.open(give_encoder(folder, PROMPTS))


@pytest.fixture(scope="module")
def bundle(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("own") / "bundle"
    assert build.main(command(checkpoint.path, out, codes="0")) == 0
    return out


def test_prompts_go_where_torch_sends_them(checkpoint: Checkpoint, bundle: Path) -> None:
    encoder, router = checkpoint.prompt_encoder(), checkpoint.router()
    assert encoder is not None
    wanted = routes(router, encoder, [*PROMPTS, LONG])
    assert set(wanted) == {0, 1}
    with Pipeline.open(bundle, engine="cpu", cache=bundle.parent / "cache") as runtime:
        assert [entry.name for entry in runtime.bundle.manifest.encoders.values()] == ["text", "prompt"]
        found = [runtime.models.route(prompt) for prompt in [*PROMPTS, LONG]]
    assert [route.code for route in found] == wanted
    with torch.no_grad():
        similarity = [router(*encoder([prompt]))[0] for prompt in [*PROMPTS, LONG]]
    margins = [float((each[0] - each[1]).abs()) for each in similarity]
    assert [route.margin for route in found] == pytest.approx(margins, abs=1e-5)


def test_tokens_that_the_router_does_not_see_are_counted(bundle: Path) -> None:
    with Pipeline.open(bundle, engine="cpu", cache=bundle.parent / "cache") as runtime:
        routed, asked = (runtime.models.dropped_tokens(LONG, routed=routed) for routed in (True, False))
    assert routed == 8 * 7 - 22  # of 24, two are the frame
    assert asked == 0
