"""From a checkpoint to one that sends prompts out of distribution away, and to a bundle that does so."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from aptp.checkpoint.ood_file import NAME as DETECTOR
from aptp.checkpoint.reader import Checkpoint
from aptp.data.sources import open_source
from aptp.model.mahalanobis import MahalanobisDetector
from aptp.ood import __main__ as command
from aptp.ood.prompts import Reader
from aptp.ood.threshold import distances, measure
from export.build import __main__ as build
from export.build import parts, plan
from export.build.build import Construction
from runtime import Pipeline
from runtime.bundle.reader import Bundle
from runtime.cli.parser import run
from runtime.errors import CheckpointError, ParityError, UsageError
from runtime.files.verified import VerifiedFiles
from runtime.request.params import GenerationParams
from tests.checkpoints import build_mini, copy_bundle, mini_checkpoint, sign
from tests.checkpoints import command as build_command
from tests.encoders import give_encoder

PROMPTS = ["a red circle", "the word hello in white letters", "Paris at night", ""]


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini_checkpoint(tmp_path_factory)


def call(*words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["aptp.ood", "--data", "scenes", *words])
        with pytest.raises(SystemExit) as stop:
            run(command.main)
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def guarded(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("guard") / "guarded"
    words = ["--num-prompts", "200", "--clusters", "2", "--share", "0.1", "--to", "1"]
    assert call("--checkpoint", str(mini), "--out", str(out), *words) == 0
    return out


def test_captions_of_another_kind_of_pipeline_have_to_be_named(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["aptp.ood", "--checkpoint", str(mini), "--out", str(tmp_path / "out")])
    with pytest.raises(UsageError, match="--data is missing: .* is not of the default's kind"):
        command.main()


def test_everything_else_is_copied(mini: Path, guarded: Path) -> None:
    before, after = Checkpoint.open(mini), Checkpoint.open(guarded)
    assert after.record.files.keys() - before.record.files.keys() == {DETECTOR}
    VerifiedFiles(guarded, before.record.files, "").verify()
    out_of_distribution = after.record.out_of_distribution
    assert out_of_distribution is not None
    assert out_of_distribution.expert == "1"
    assert after.record.provenance["limit"]["threshold"] == out_of_distribution.threshold
    assert after.record.provenance["from"] == before.record.provenance


def test_a_checkpoint_without_a_guard_tells_no_distance(mini: Path) -> None:
    assert Checkpoint.open(mini).detector() is None


def test_the_limit_is_what_so_many_held_out_prompts_exceed(mini: Path) -> None:
    read, sources = Reader(Checkpoint.open(mini)), [open_source("scenes", split=s) for s in ("train", "test")]
    found = measure(read, *sources, prompts=200, clusters=2, share=0.1)
    unseen = distances(found.detector, read([sources[1][i].caption for i in range(200)]))
    assert float((unseen[:100] > found.threshold).float().mean()) == pytest.approx(0.1, abs=0.011)
    assert found.measured == pytest.approx(float((unseen[100:] > found.threshold).float().mean()))


@pytest.mark.parametrize("share", [0.0, 1.0, 1e-3])
def test_a_share_that_cannot_be_measured(mini: Path, share: float) -> None:
    source = open_source("scenes")
    with pytest.raises(UsageError, match=r"cannot be measured on 100 prompts"):
        measure(Reader(Checkpoint.open(mini)), source, source, prompts=200, share=share)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"garbage", "does not hold a distance"),
        (save({"centres": torch.zeros(1, 4)}), "does not hold a distance"),
        (save({"centres": torch.zeros(1, 4), "whiten": torch.zeros(1, 4, 5)}), "does not hold a distance"),
        (save({"centres": torch.full((1, 4), torch.nan), "whiten": torch.zeros(1, 4, 4)}), "not finite"),
    ],
)
def test_files_that_hold_no_distance(guarded: Path, tmp_path: Path, data: bytes, message: str) -> None:
    copy = Path(shutil.copytree(guarded, tmp_path / "copy"))
    (copy / DETECTOR).write_bytes(data)
    sign(copy)
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.open(copy).detector()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "largst"], "no expert 'largst' (did you mean 'largest'"),
        (["--to", "2"], "no expert '2'; there is largest, dense, 0, 1"),
        (["--num-prompts", "0"], "--num-prompts 0"),
        (["--against", "nowhere.txt"], "nowhere.txt cannot be read"),
        (["--data", "scene"], "there is no data named 'scene'"),
    ],
)
def test_usage(
    mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert call("--checkpoint", str(mini), "--out", str(tmp_path / "out"), *words) == 2
    assert message in capsys.readouterr().err.replace("\n", "")
    assert not (tmp_path / "out").exists()


def test_largest_is_the_code_that_costs_most(
    mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "others.txt").write_text("Paris\nat night\n")
    words = ["--num-prompts", "200", "--share", "0.1", "--against", str(tmp_path / "others.txt")]
    assert call("--checkpoint", str(mini), "--out", str(tmp_path / "out"), *words) == 0
    out_of_distribution = Checkpoint.open(tmp_path / "out").record.out_of_distribution
    assert out_of_distribution is not None
    assert out_of_distribution.expert == "1"  # of budgets 0.6 and 0.8
    said = capsys.readouterr().err
    assert "go to expert 1" in said
    assert "of the 2 prompts in" in said


@pytest.mark.timeout(300)  # two builds
def test_the_bundle_tells_the_distances_of_the_checkpoint(
    guarded: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = copy_bundle(build_mini(tmp_path_factory), tmp_path)
    plain = Bundle.open(out)
    assert build.main(build_command(guarded, out)) == 0
    made = Bundle.open(out)
    assert made.manifest.router.model != plain.manifest.router.model  # and no other model
    assert made.manifest.experts == plain.manifest.experts
    assert made.manifest.encoders == plain.manifest.encoders
    checkpoint = Checkpoint.open(guarded)
    detector, out_of_distribution = checkpoint.detector(), checkpoint.record.out_of_distribution
    assert detector is not None
    assert out_of_distribution is not None
    with Pipeline.open(out, engine="cpu", cache=tmp_path / "cache") as runtime:
        routes = runtime.route(PROMPTS)
        sent = [
            image.choice.out_of_distribution for image in runtime.generate(PROMPTS, GenerationParams(steps=1))
        ]
    wanted = distances(detector, Reader(checkpoint)(PROMPTS))
    np.testing.assert_allclose([route.distance for route in routes], wanted, rtol=1e-3)
    assert sent == (wanted > out_of_distribution.threshold).tolist()
    assert {*sent} == {True, False}


def test_a_distance_that_differs_is_caught(
    guarded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = plan.BuildSpec(guarded, tmp_path / "b", ("0",), ("ddim",), (), None, tmp_path, 1, 1, 1 << 30)
    checkpoint = Checkpoint.open(guarded)
    (router,) = [part for part in plan.parts(checkpoint, spec) if part.kind == "router"]
    real = parts.ladder.outputs

    def other(module: torch.nn.Module, feeds: list[parts.ladder.Feed]) -> list[parts.ladder.Array]:
        scale = 1.001 if isinstance(module, MahalanobisDetector) else 1.0
        return [scale * output for output in real(module, feeds)]

    monkeypatch.setattr(parts.ladder, "outputs", other)
    job = parts.PartJob(router, spec, tmp_path, lambda stage, share: None, None)
    with pytest.raises(ParityError, match="ONNX = PyTorch"):
        parts.make(job)


def test_a_build_without_the_expert_of_prompts_out_of_distribution_says_so(
    guarded: Path, tmp_path: Path
) -> None:
    def notes(codes: str) -> list[str]:
        words = build_command(guarded, tmp_path / "b", "--memory", "1GiB", codes=codes)
        return Construction.of(build.arguments(words)).notes

    assert "add it, as in --codes 0,1" in notes("0")[0]
    assert notes("all") == notes("0,dense") == []  # dense would be the fallback


def test_the_distance_is_of_what_the_router_reads(mini: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(give_encoder(Path(shutil.copytree(mini, tmp_path / "own")), PROMPTS))
    encoder = checkpoint.prompt_encoder()
    assert encoder is not None
    pooled = Reader(checkpoint)(PROMPTS)
    assert pooled.shape == (len(PROMPTS), encoder.width)
    with torch.no_grad():
        alone = [encoder([prompt]).hidden[0].mean(0) for prompt in PROMPTS]
    torch.testing.assert_close(pooled, torch.stack(alone), rtol=1e-4, atol=1e-5)


def test_a_pipeline_with_two_text_encoders_is_refused(mini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint.open(mini)
    monkeypatch.setattr(checkpoint, "pipeline", "StableDiffusionXLPipeline")
    with pytest.raises(CheckpointError, match="is a StableDiffusionXLPipeline"):
        Reader(checkpoint)
