"""The supernet in a build: one part for all experts, shown row by row, and refused where it would be none."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from aptp.checkpoint.reader import Checkpoint
from export.build import __main__ as build
from export.build import manifest_body, parts, plan
from export.build.part_store import PartRecord
from export.engines import aoti
from runtime import Pipeline
from runtime.bundle.reader import Bundle
from runtime.bundle.schema import SupernetGates
from runtime.engines import target
from runtime.errors import ParityError, Refused
from runtime.models import sessions
from runtime.request.params import GenerationParams
from tests.checkpoints import change_weight, command

FACTS = {"device": "cpu", "architecture": "x86_64 avx2", "torch": "2.13.0"}
CODES = ("0", "1", "dense")


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(target, "facts", lambda device: dict(FACTS))


def spec_of(checkpoint: Path, out: Path, codes: tuple[str, ...] = CODES) -> plan.BuildSpec:
    return plan.BuildSpec(checkpoint, out, codes, ("ddim",), ("supernet",), None, None, 1, 1, 1 << 30)


def part_of(spec: plan.BuildSpec) -> plan.Part:
    return next(
        part for part in plan.parts(Checkpoint.open(spec.checkpoint), spec) if part.kind == "supernet"
    )


def test_it_is_one_part_after_all_experts(mini, tmp_path, capsys):
    words = ["--engines", "supernet", "--dry-run", "--json"]
    assert build.main(command(mini, tmp_path / "bundle", *words, codes="all,dense")) == 0
    names = [part["part"] for part in json.loads(capsys.readouterr().out)]
    assert [name for name in names if name.startswith("compiled/")] == ["compiled/supernet"]
    part = part_of(spec_of(mini, tmp_path))
    assert part.needs == ("experts/0", "experts/1", "experts/dense")
    assert part.components == ("experts/0", "unet", "experts/1")


def test_its_key_counts_the_experts_that_it_serves(mini, tmp_path):
    assert part_of(spec_of(mini, tmp_path)).key != part_of(spec_of(mini, tmp_path, ("0", "1"))).key


def test_experts_with_weights_of_their_own_are_refused_before_anything_is_built(checkpoint, tmp_path):
    change_weight(checkpoint, "experts/1", 0.5)
    with pytest.raises(Refused, match=r"--engines supernet: expert 1 of .* has weights of its own.*aoti"):
        build.main(command(checkpoint, tmp_path / "bundle", "--engines", "supernet"))
    assert not (tmp_path / "bundle.build").exists()


@pytest.fixture
def calls(monkeypatch):
    """Makes the part with the gated UNet as its own engine, which `spoil` may change; gives what was run."""

    def make(mini: Path, folder: Path, spoil=lambda gates: gates):
        made, run = {}, []

        def write(module, example, wanted, path):
            made.update(module=module, rows=len(example["gates"]))
            path.write_bytes(b"machine code")

        def engine(sample, time_embedding, conditioning):
            run.append(conditioning["gates"])
            arrays = [sample, time_embedding, conditioning["encoder_hidden_states"]]
            tensors = map(torch.from_numpy, [*arrays, spoil(conditioning["gates"])])
            with torch.inference_mode():
                return made["module"](*tensors).numpy()

        monkeypatch.setattr(aoti, "write_package", write)
        monkeypatch.setitem(sessions.OPENERS, "supernet", lambda *rest: SimpleNamespace(run=engine))
        spec = spec_of(mini, folder)
        result = parts.make(parts.PartJob(part_of(spec), spec, folder, lambda stage, share: None))
        assert made["rows"] == 2
        return result, run

    return make


def test_every_code_is_shown_alone_and_all_in_one_batch(mini, tmp_path, calls):
    result, run = calls(mini, tmp_path)
    codes = [Checkpoint.open(mini).architecture(name).keep for name in CODES]
    assert [len(gates) for gates in run] == [1, 2, 1, 2, 1, 2, 3]
    assert np.array_equal(run[-1], np.stack(codes))
    assert 0 < result.measures["engine"] < 1e-5
    assert result.measures["autocast"] == 0.0  # float32 is held to PyTorch's
    assert result.facts["kind"] == "supernet"
    assert (tmp_path / "supernet/aoti.pt2").read_bytes() == b"machine code"


def test_a_row_under_another_code_is_caught(mini, tmp_path, calls):
    def swap(gates: np.ndarray) -> np.ndarray:
        return gates[[1, 0, 2]] if len(gates) == 3 else gates

    with pytest.raises(ParityError, match="supernet in float32, expert 0 among 3 rows"):
        calls(mini, tmp_path, swap)


def test_every_expert_names_the_one_file_under_its_own_code(mini):
    checkpoint = Checkpoint.open(mini)
    paths = ["experts/0/unet/model.onnx", "experts/0/unet/clock.onnx"]
    graph = {path: {"size": 1, "sha256": "0" * 64} for path in paths}
    facts = {
        "kind": "supernet",
        "precision": "float32",
        "profile": {axis: [1, 2, 4] for axis in ("batch", "height", "width")},
        "target": FACTS,
    }
    supernet = PartRecord("compiled/supernet", "", "", files={"supernet/aoti.pt2": {}}, facts=facts)
    records = {name: PartRecord(name, "a" * 64, "", files=graph) for name in ("experts/0", "experts/1")}
    records[supernet.name] = supernet
    experts = [manifest_body.expert(checkpoint, name, records, {}) for name in "01"]
    (one,), (other,) = [expert["compiled"] for expert in experts]
    assert one["file"] == other["file"] == "supernet/aoti.pt2"
    assert one["identity"] != other["identity"]
    for expert, code in zip(experts, checkpoint.architectures, strict=True):
        assert SupernetGates(**expert["gates"]).kept == tuple(code.keep)


@pytest.mark.slow
def test_a_compiled_supernet_draws_what_its_experts_draw(mini, tmp_path, monkeypatch):
    monkeypatch.undo()
    out = tmp_path / "bundle"
    words = command(mini, out, "--engines", "supernet", "--precision", "float32", codes="all,dense")
    assert build.main(words) == 0
    experts = Bundle.open(out).manifest.experts
    assert {expert.compiled[0].file for expert in experts.values()} == {"supernet/aoti.pt2"}
    with Pipeline.open(out, engine="cpu", cache=tmp_path / "cache") as runtime:
        wanted = [
            runtime.generate("a red circle", GenerationParams(code=code, steps=4))[0]
            for code in (0, 1, "dense")
        ]
    with Pipeline.open(out, engine="supernet", cache=tmp_path / "cache") as runtime:
        for code, graph in zip((0, 1, "dense"), wanted, strict=True):
            (package,) = runtime.generate("a red circle", GenerationParams(code=code, steps=4))
            assert np.abs(graph.pixels.astype(int) - package.pixels).max() <= 1
