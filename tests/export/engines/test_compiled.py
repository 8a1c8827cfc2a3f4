"""Compiled engines in a build: what is planned, what passes the ladder, and what of it the manifest says."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from aptp.checkpoint.reader import Checkpoint
from export.build import __main__ as build
from export.build import parts, plan
from export.engines import aoti, manifest_entry
from export.parity import ladder
from runtime import Pipeline
from runtime.bundle.reader import Bundle
from runtime.engines import target
from runtime.errors import OutputError, ParityError, Refused, UsageError
from runtime.models import sessions
from runtime.request.params import GenerationParams
from tests.checkpoints import command

FACTS = {"device": "cpu", "architecture": "x86_64 avx512_bf16", "torch": "2.13.0"}
WANTED = {
    "kind": "aoti",
    "precision": "bfloat16",
    "profile": {"batch": [1, 2, 16], "height": [16] * 3, "width": [16] * 3},
    "target": FACTS,
}


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(target, "facts", lambda device: dict(FACTS))


def test_compiled_parts_come_last_and_need_their_expert(mini, tmp_path, capsys):
    words = command(mini, tmp_path / "bundle", "--engines", "onnx,aoti", "--dry-run", "--json")
    assert build.main(words) == 0
    names = [part["part"] for part in json.loads(capsys.readouterr().out)]
    assert [name for name in names if name.startswith("compiled/")] == ["compiled/aoti/0", "compiled/aoti/1"]
    assert names.index("compiled/aoti/0") > names.index("experts/1")


def test_what_is_wanted_of_this_machine():
    assert manifest_entry.wanted("aoti", (16, 16), None) == WANTED


def test_a_processor_without_bfloat16_gets_float32(monkeypatch):
    monkeypatch.setattr(target, "facts", lambda device: {**FACTS, "architecture": "x86_64 avx2"})
    assert manifest_entry.wanted("aoti", (16, 16), None)["precision"] == "float32"


def test_an_unknown_precision():
    with pytest.raises(UsageError, match=r"'bfloat61' \(did you mean 'bfloat16'"):
        manifest_entry.wanted("aoti", (16, 16), "bfloat61")


def test_an_unknown_engine(mini, tmp_path):
    with pytest.raises(UsageError, match=r"--engines: unknown engine 'aot' \(did you mean 'aoti'"):
        build.main(command(mini, tmp_path / "bundle", "--engines", "aot"))


def test_an_engine_whose_compiler_is_not_installed(monkeypatch):
    monkeypatch.setattr(target, "facts", lambda device: {"device": "cpu", "architecture": "x86_64 avx2"})
    with pytest.raises(Refused, match="--engines aoti: needs torch"):
        manifest_entry.wanted("aoti", (16, 16), None)


def test_no_cpp_compiler(monkeypatch, tmp_path):
    monkeypatch.setattr(aoti.shutil, "which", lambda name: None)
    with pytest.raises(Refused, match=r"no C\+\+ compiler is here; install g\+\+"):
        aoti.write_package(torch.nn.Identity(), {}, WANTED, tmp_path / "aoti.pt2")


OUTPUT = np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)


@pytest.fixture
def rung(monkeypatch, tmp_path):
    """The error found for an engine that gives `output`, where autocast errs by 0.01."""

    def climb(output: np.ndarray, precision: str = "bfloat16") -> float:
        engine = SimpleNamespace(run=lambda sample, time_embedding, conditioning: output)
        monkeypatch.setitem(sessions.OPENERS, "aoti", lambda path, entry, threads: engine)
        feed = {"sample": torch.zeros(1, 4, 8, 8), "time_embedding": torch.ones(1, 8)}
        wanted = {**WANTED, "precision": precision}
        return ladder.compiled_beside_autocast(tmp_path / "aoti.pt2", wanted, [feed], [OUTPUT], 0.01, 1)

    return climb


def test_an_engine_that_errs_as_autocast_does_passes(rung):
    assert rung(OUTPUT * np.float32(1.01)) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("output", "precision", "error"),
    [
        pytest.param(OUTPUT * np.float32(1.02), "bfloat16", ParityError, id="twice autocast's error"),
        pytest.param(OUTPUT * np.float32(1.001), "float32", ParityError, id="float32 that rounds"),
        pytest.param(OUTPUT[:, ::-1], "bfloat16", ParityError, id="another slice"),
        pytest.param(np.where(OUTPUT > 2, np.inf, OUTPUT), "bfloat16", OutputError, id="overflow"),
        pytest.param(np.full_like(OUTPUT, np.nan), "bfloat16", OutputError, id="not a number"),
        pytest.param(np.zeros_like(OUTPUT), "bfloat16", OutputError, id="blank"),
    ],
)
def test_a_planted_fault_is_caught(rung, output, precision, error):
    with pytest.raises(error):
        rung(output, precision)


def test_a_part_is_compiled_from_the_rounded_expert_and_told_as_wanted(mini, tmp_path, monkeypatch):
    made = {}

    def write(module, example, wanted, path):
        made.update(module=module, rows=len(example["sample"]))
        path.write_bytes(b"machine code")

    def run(sample, time_embedding, conditioning):
        tensors = {"sample": sample, "time_embedding": time_embedding, **conditioning}
        with torch.inference_mode():
            return made["module"](**{name: torch.from_numpy(one) for name, one in tensors.items()}).numpy()

    monkeypatch.setattr(aoti, "write_package", write)
    monkeypatch.setitem(sessions.OPENERS, "aoti", lambda *rest: SimpleNamespace(run=run))
    spec = plan.BuildSpec(mini, tmp_path / "b", ("0",), ("ddim",), ("aoti",), None, None, 1, 1, 1 << 30)
    part = next(part for part in plan.parts(Checkpoint.open(mini), spec) if part.kind == "aoti")
    job = parts.PartJob(part, spec, tmp_path, lambda stage, share: None)
    result = parts.make(job)
    assert result.facts == WANTED
    assert result.measures["engine"] == 0 < result.measures["autocast"]
    assert made["rows"] == 2
    assert (tmp_path / "experts/0/unet/aoti.pt2").read_bytes() == b"machine code"
    weight = next(made["module"].parameters())
    assert torch.equal(weight, weight.half().float())


def test_a_key_counts_everything_that_a_compiled_engine_is_made_for(mini, tmp_path, monkeypatch):
    def key(precision=None):
        spec = plan.BuildSpec(mini, tmp_path, ("0",), ("ddim",), ("aoti",), precision, None, 1, 1, 1 << 30)
        return next(part.key for part in plan.parts(Checkpoint.open(mini), spec) if part.kind == "aoti")

    keys = [key(), key("float32")]
    monkeypatch.setattr(target, "facts", lambda device: {**FACTS, "torch": "2.14.0"})
    keys.append(key())
    monkeypatch.setattr(manifest_entry, "ROWS", manifest_entry.Range(1, 2, 8))
    keys.append(key())
    assert len(set(keys)) == 4


@pytest.mark.slow
def test_a_bundle_with_packages_draws_what_its_graphs_draw(mini, tmp_path, monkeypatch):
    monkeypatch.undo()
    out: Path = tmp_path / "bundle"
    words = command(mini, out, "--engines", "aoti", "--precision", "float32", codes="0")
    assert build.main(words) == 0
    (compiled,) = Bundle.open(out).manifest.experts["0"].compiled
    assert compiled.file == "experts/0/unet/aoti.pt2"
    images = []
    for engine in ("cpu", "aoti"):
        with Pipeline.open(out, engine=engine, cache=tmp_path / "cache") as runtime:
            images.append(runtime.generate(["a red circle"] * 3, GenerationParams(code=0, steps=4, seed=1)))
    for graph, package in zip(*images, strict=True):
        assert np.abs(graph.pixels.astype(int) - package.pixels).max() <= 1
