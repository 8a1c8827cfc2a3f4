"""The command line, and a published folder all the way to an image."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aptp.checkpoint.reader import Checkpoint
from aptp.convert import __main__ as command_line
from aptp.convert.conversion import ConversionSource
from aptp.evaluate.routing import routes
from aptp.model.prompt_encoder import read_prompt_encoder
from aptp.pipeline import build_pipeline, read_pipeline
from aptp.presets import PRESETS
from export.build import __main__ as build
from runtime import Pipeline
from runtime.errors import UsageError
from runtime.request.params import GenerationParams
from tests.checkpoints import command
from tests.encoders import averages, write_encoder
from tests.published import write_published

PROMPTS = ["a red circle", "two dogs", "", "a photo of the word hello", "the small blue star on a white ring"]


def words(source: ConversionSource, out: Path, *more: str) -> list[str]:
    named = {"--from": source.root, "--pipeline": source.pipeline, "--prompt-encoder": source.prompt_encoder}
    return [*(str(word) for pair in named.items() for word in pair), "--out", str(out), *more]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["aptp.convert", *arguments])
    return command_line.main()


def test_what_it_says(
    source: ConversionSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *words(source, tmp_path / "out", "--routing", "row-0")) == 0
    said = capsys.readouterr().err
    assert all(f"arch{code}" in said for code in range(3))
    assert "sliced" in said
    assert "next: python -m export.build" in said
    assert Checkpoint.open(tmp_path / "out").record.provenance["routing"] == "row-0"


def test_a_routing_that_is_none(
    source: ConversionSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="there is noise-free and row-0"):
        run(monkeypatch, *words(source, tmp_path / "out", "--routing", "noisy"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_published_experts_are_built_and_served(tmp_path: Path) -> None:
    build_pipeline(PRESETS["tiny"], 0, torch.float16).save_pretrained(tmp_path / "pipeline")
    unet = read_pipeline(tmp_path / "pipeline", torch.float32).unet
    mpnet = write_encoder(tmp_path / "mpnet")
    suited = averages(read_prompt_encoder(mpnet), PROMPTS[:2])
    folder = write_published(tmp_path / "published", unet, suited)
    source = ConversionSource(folder, tmp_path / "pipeline", mpnet)
    out = tmp_path / "converted"
    subprocess.run([sys.executable, "-m", "aptp.convert", *words(source, out)], check=True, timeout=300)
    assert build.main(command(out, tmp_path / "bundle")) == 0
    checkpoint = Checkpoint.open(out)
    encoder = checkpoint.prompt_encoder()
    assert encoder is not None
    wanted = routes(checkpoint.router(), encoder, PROMPTS)
    assert set(wanted) == {0, 1}
    with Pipeline.open(tmp_path / "bundle", engine="cpu", cache=tmp_path / "cache") as runtime:
        made = runtime.generate(PROMPTS, GenerationParams(steps=2))
    assert [image.choice.code for image in made] == wanted
    assert all(image.pixels.std() > 0 for image in made)
