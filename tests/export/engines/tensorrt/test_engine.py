"""Plans in a build: what is planned, what is asked of the machine, and what the ladder lets through."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from aptp.checkpoint.reader import Checkpoint
from export.build import layout, parts, plan
from export.engines import manifest_entry
from export.engines.tensorrt import builder
from export.graphs import clock, weights
from export.graphs.expert import ServingGraph, expert_signature
from runtime.engines import nvidia, target
from runtime.errors import ParityError, Refused, UsageError
from runtime.models import sessions
from tests.checkpoints import build_mini

FACTS = {
    "device": "cuda",
    "architecture": "sm90",
    "driver": "13.0",
    "tensorrt": "10.13.3.9",
    "torch": "2.13.0",
}


@pytest.fixture
def machine(monkeypatch):
    """A machine with a GPU and TensorRT."""
    monkeypatch.setattr(nvidia, "device", lambda: nvidia.Device("sm90", "13.0"))
    monkeypatch.setattr(target, "facts", lambda device: dict(FACTS))


def test_what_is_wanted_of_this_machine(machine):
    assert manifest_entry.wanted("tensorrt", (16, 16), None) == {
        "kind": "tensorrt",
        "precision": "float16",
        "profile": {"batch": [1, 2, 16], "height": [16] * 3, "width": [16] * 3},
        "target": {name: FACTS[name] for name in ("device", "architecture", "tensorrt", "driver")},
    }


def test_a_machine_without_a_gpu(monkeypatch):
    monkeypatch.setattr(nvidia, "device", lambda: None)
    with pytest.raises(Refused, match="--engines tensorrt: no NVIDIA GPU answers here"):
        manifest_entry.wanted("tensorrt", (16, 16), None)


def test_a_machine_without_tensorrt(machine, monkeypatch):
    monkeypatch.delitem(FACTS, "tensorrt")
    with pytest.raises(Refused, match="--engines tensorrt: needs tensorrt, which is not installed"):
        manifest_entry.wanted("tensorrt", (16, 16), None)


def test_a_precision_that_plans_are_not_built_in(machine):
    with pytest.raises(UsageError, match=r"--precision: tensorrt has no 'bfloat16' \(did you mean 'float16'"):
        manifest_entry.wanted("tensorrt", (16, 16), "bfloat16")


def test_the_profile_s_sizes_as_shapes_of_every_input():
    profile = {"batch": [1, 2, 16], "height": [8, 16, 32], "width": [16, 16, 16]}
    assert builder.shapes(expert_signature(4, 2, 77, 32), profile) == {
        "sample": ((1, 4, 8, 16), (2, 4, 16, 16), (16, 4, 32, 16)),
        "timestep": ((1,), (2,), (16,)),
        "encoder_hidden_states": ((1, 77, 32), (2, 77, 32), (16, 77, 32)),
    }


@pytest.fixture
def make(machine, tensorrt, mini, tmp_path, tmp_path_factory, monkeypatch):
    """Make the part of expert 0 with a plan that answers as PyTorch does, `factor` times."""
    built = build_mini(tmp_path_factory)

    def call(factor: float, precision: str | None = None) -> parts.Made:
        unet = Checkpoint.open(mini).expert("0")
        weights.round_to_half(unet)
        clock.take_out(unet)
        serving = ServingGraph(unet).eval()

        def run(sample, time_embedding, conditioning):
            arrays = {"sample": sample, "time_embedding": time_embedding, **conditioning}
            with torch.inference_mode():
                found = serving(**{name: torch.from_numpy(one) for name, one in arrays.items()}).numpy()
            return found * np.float32(factor)

        monkeypatch.setitem(sessions.OPENERS, "tensorrt", lambda *rest: SimpleNamespace(run=run))
        cache = tmp_path / "cache"
        spec = plan.BuildSpec(
            mini, tmp_path / "b", ("0",), ("ddim",), ("tensorrt",), precision, cache, 1, 1, 1 << 30
        )
        part = next(part for part in plan.parts(Checkpoint.open(mini), spec) if part.kind == "tensorrt")
        folder = layout.stage_folder(spec.out, ".0.tmp")
        folder.mkdir(parents=True)
        return parts.make(parts.PartJob(part, spec, folder, lambda stage, share: stages.append(stage), built))

    stages: list[str] = []
    call.stages, call.folder = stages, layout.stage_folder(tmp_path / "b", ".0.tmp")
    return call


def test_a_plan_is_proven_built_and_proven_again(make, tensorrt):
    made = make(1.0)
    assert made.facts == manifest_entry.wanted("tensorrt", (16, 16), None)
    assert made.measures["engine"] == 0 < made.measures["graph"] < 1.5 * made.measures["autocast"]
    assert (make.folder / "experts/0/unet/tensorrt.plan").read_bytes() == b"a plan"
    assert [path.name for path in make.folder.parent.iterdir()] == [".0.tmp"]
    assert "build: at least 0.0 GiB of GPU memory, no plan was built here before" in make.stages
    (profile,) = tensorrt.configs[0].profiles
    assert profile.shapes["sample"] == ((1, 4, 16, 16), (2, 4, 16, 16), (16, 4, 16, 16))


def test_a_plan_that_errs_more_than_autocast_is_not_published(make):
    with pytest.raises(ParityError, match="tensorrt in float16"):
        make(1.1)


def test_a_float32_plan_is_not_rounded_and_has_to_equal_pytorch(make):
    made = make(1.0, "float32")
    assert made.measures == {"engine": 0.0, "autocast": 0.0}


def test_a_float32_plan_that_rounds_is_not_published(make):
    with pytest.raises(ParityError, match="tensorrt in float32"):
        make(1.001, "float32")
