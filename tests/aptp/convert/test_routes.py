"""Both routings of converted experts, compared on prompts."""

import sys
from pathlib import Path

import pytest
import torch

from aptp.checkpoint.reader import Checkpoint
from aptp.convert import __main__ as command_line
from aptp.convert import routes
from aptp.convert.conversion import NOISE_FREE, ROW_0, ConversionSource, convert
from aptp.convert.routes import IN_BATCHES, RouteComparison, compare
from aptp.evaluate.routing import routes as served
from aptp.model.gated_router import published_noise
from runtime.errors import CheckpointError, UsageError
from tests.checkpoints import mini_checkpoint

WORDS = ("red", "blue", "small", "two", "dog", "circle", "hello", "photo")
PROMPTS = [f"a {one} {other} number {i}" for i in range(2) for one in WORDS for other in WORDS]


@pytest.fixture(scope="module")
def made(source: ConversionSource, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """The same folder, converted for each routing."""
    found = {}
    for routing in (NOISE_FREE, ROW_0):
        out = tmp_path_factory.mktemp("routes") / routing
        convert(ConversionSource(source.root, source.pipeline, source.prompt_encoder, routing), out)
        found[routing] = Checkpoint.open(out)
    return found


def test_shares_and_disagreement_are_those_of_the_checkpoints(made: dict[str, Checkpoint]) -> None:
    found = compare(made[ROW_0], PROMPTS)
    assert found == compare(made[NOISE_FREE], PROMPTS)
    codes = {}
    for routing, checkpoint in made.items():
        encoder = checkpoint.prompt_encoder()
        assert encoder is not None
        codes[routing] = torch.tensor(served(checkpoint.router(), encoder, PROMPTS))
        assert found.shares[routing] == pytest.approx((codes[routing].bincount(minlength=3) / 128).tolist())
    assert found.count == 128
    assert found.disagreement == pytest.approx(float((codes[NOISE_FREE] != codes[ROW_0]).double().mean()))
    assert sum(found.shares[IN_BATCHES]) == pytest.approx(1)


def test_in_batches_every_row_has_its_own_noise(
    made: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches of one, every prompt is row 0. The noise is made louder than this folder's scores."""
    monkeypatch.setattr(routes, "published_noise", lambda *shape: 30 * published_noise(*shape))
    found = compare(made[ROW_0], PROMPTS)
    assert found.disagreement > 0
    assert found.agreement[ROW_0] < 1
    monkeypatch.setattr(routes, "BATCH", 1)
    assert compare(made[ROW_0], PROMPTS).agreement[ROW_0] == 1


def test_the_one_that_agrees_more_often_is_advised() -> None:
    def advice(free: float, row: float) -> str:
        return RouteComparison(9, {}, 0.5, {NOISE_FREE: free, ROW_0: row}).advice

    assert (advice(0.6, 0.5), advice(0.4, 0.5), advice(0.5, 0.5)) == (NOISE_FREE, ROW_0, NOISE_FREE)


def test_other_checkpoints_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(CheckpointError, match="was not converted"):
        compare(Checkpoint.open(mini_checkpoint(tmp_path_factory)), PROMPTS)


def test_what_the_command_says(
    source: ConversionSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prompts = tmp_path / "prompts.txt"
    words = ["--from", source.root, "--pipeline", source.pipeline, "--prompt-encoder", source.prompt_encoder]
    words += ["--out", tmp_path / "out", "--prompts", prompts]
    monkeypatch.setattr(sys, "argv", ["aptp.convert", *map(str, words)])
    with pytest.raises(UsageError, match="cannot be read"):
        command_line.main()
    assert not (tmp_path / "out").exists()
    prompts.write_text("\n".join(PROMPTS))
    assert command_line.main() == 0
    said = capsys.readouterr().err
    assert "of 128 prompts to different codes" in said
    assert "so --routing" in said
