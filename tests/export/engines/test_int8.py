"""Experts in eight bits: what a build plans and refuses, what is calibrated on, and what NNCF makes of it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from aptp.checkpoint.reader import Checkpoint
from aptp.default import default_checkpoint, default_prompts
from export.build import __main__ as build
from export.build import parts, plan
from export.engines import calibration, int8, manifest_entry
from runtime.bundle.reader import Bundle
from runtime.engines import openvino
from runtime.engines.session import open_session
from runtime.errors import OutputError, Refused, UsageError
from runtime.models.cache import Cache
from tests.bundles import unet_inputs, write_bundle
from tests.checkpoints import build_mini, command

pytestmark = pytest.mark.timeout(300)

PROMPTS = tuple(f"a red circle and {index} squares" for index in range(calibration.PROMPTS))
HERE = int8.missing()
needs_nncf = pytest.mark.skipif(HERE is not None, reason=f"nothing quantizes here: {HERE}")
needs_openvino = pytest.mark.skipif(openvino.missing() is not None, reason="no OpenVINO here")


@pytest.fixture
def installed(monkeypatch):
    """NNCF and OpenVINO, as far as a plan can tell."""
    real = plan.importlib.metadata.version
    monkeypatch.setattr(int8, "missing", lambda: None)
    monkeypatch.setattr(openvino, "missing", lambda: None)
    monkeypatch.setattr(
        plan.importlib.metadata, "version", lambda name: "3.4" if name == "nncf" else real(name)
    )


@pytest.fixture
def prompts(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("\n".join(PROMPTS))
    return file


def planned(capsys, mini, out, *words):
    capsys.readouterr()
    assert build.main(command(mini, out, *words, "--dry-run", "--json")) == 0
    return [entry["part"] for entry in json.loads(capsys.readouterr().out)]


@pytest.mark.usefixtures("installed")
def test_a_part_per_expert_is_planned_beside_what_openvino_has_otherwise(mini, tmp_path, prompts, capsys):
    words = ["--engines", "openvino", "--calibration", str(prompts)]
    found = planned(capsys, mini, tmp_path / "b", *words, "--precision", "int8")
    assert [name for name in found if name.startswith("int8/")] == ["int8/0", "int8/1"]
    assert sum(name.startswith("earned/openvino/") for name in found) == 2


def part_of(mini, out, prompts=PROMPTS):
    spec = plan.BuildSpec(mini, out, ("0",), ("ddim",), ("openvino",), "int8", None, 1, 1, 1 << 30)
    spec = plan.replace(spec, calibration=prompts)
    (part,) = [one for one in plan.parts(Checkpoint.open(mini), spec) if one.kind == "int8"]
    return spec, part


@pytest.mark.usefixtures("installed")
def test_other_prompts_make_another_part(mini, tmp_path):
    keys = [part_of(mini, tmp_path, prompts)[1].key for prompts in (PROMPTS, PROMPTS[::-1], PROMPTS)]
    assert keys[0] == keys[2] != keys[1]


def refused(kind, message, mini, out, *words):
    with pytest.raises(kind, match=message):
        build.main(command(mini, out, *words, "--dry-run"))


def test_without_nncf_it_is_refused(mini, tmp_path, prompts, monkeypatch):
    monkeypatch.setattr(openvino, "missing", lambda: None)
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    words = ["--engines", "openvino", "--precision", "int8", "--calibration", str(prompts)]
    message = r"--precision int8: nncf is not installed; install it with `pip install 'aptp\[int8\]'`"
    refused(Refused, message, mini, tmp_path / "b", *words)


def test_without_openvino_it_is_refused(mini, tmp_path, prompts, monkeypatch):
    monkeypatch.setattr(openvino, "missing", lambda: "openvino is not installed")
    words = ["--engines", "auto", "--precision", "int8", "--calibration", str(prompts)]
    refused(Refused, "--precision int8: openvino is not installed", mini, tmp_path / "b", *words)


@pytest.mark.usefixtures("installed")
def test_a_build_without_openvino_has_no_use_for_it(mini, tmp_path, prompts):
    words = ["--engines", "onnx", "--precision", "int8", "--calibration", str(prompts)]
    message = "--precision int8: is openvino's; name it in --engines, or leave precision out"
    refused(UsageError, message, mini, tmp_path / "b", *words)


@pytest.mark.parametrize("kind", ["aoti", "supernet"])
def test_other_engines_have_no_int8(kind):
    with pytest.raises(UsageError, match=f"--precision: {kind} has no 'int8'"):
        manifest_entry.wanted(kind, (16, 16), "int8")


@pytest.mark.usefixtures("installed")
def test_prompts_are_asked_for_where_none_are_known(mini, tmp_path, prompts):
    words = ["--engines", "openvino", "--precision", "int8"]
    message = "--precision int8: give prompts like those to be served with --calibration FILE, at least 32"
    refused(UsageError, message, mini, tmp_path / "b", *words)
    prompts.write_text("one\none\ntwo\n")
    message = "--calibration: has 2 prompts; give at least 32"
    refused(UsageError, message, mini, tmp_path / "b", *words, "--calibration", str(prompts))


def test_prompts_that_nothing_is_calibrated_on(mini, tmp_path, prompts):
    message = "--calibration: is for --precision int8; leave it out"
    refused(UsageError, message, mini, tmp_path / "b", "--calibration", str(prompts))


def test_the_default_checkpoint_has_prompts_that_no_evaluation_draws():
    from aptp.evaluate.verdicts import held_out

    known = plan.parse_calibration(None, "int8", default_checkpoint())
    assert known == tuple(default_prompts())
    assert len(set(known)) == calibration.PROMPTS
    assert not set(known) & {sample.caption for sample in held_out(100)}


def test_calibration_sees_every_step_and_both_halves_of_guidance(mini):
    checkpoint = Checkpoint.open(mini)
    unet = checkpoint.expert("0")
    with torch.inference_mode():
        feeds = calibration.trajectories(checkpoint, unet, PROMPTS[:2])
        again = calibration.trajectories(checkpoint, unet, PROMPTS[:2])
    assert len(feeds) == 2 * calibration.STEPS
    first, last = feeds[0], feeds[calibration.STEPS - 1]
    assert {name: tuple(one.shape) for name, one in first.items()} == {
        "sample": (2, 4, 16, 16),
        "timestep": (2,),
        "encoder_hidden_states": (2, 77, 32),
    }
    assert first["timestep"][0] > last["timestep"][0]
    assert not torch.equal(first["encoder_hidden_states"][0], first["encoder_hidden_states"][1])
    assert all(torch.equal(one["sample"], other["sample"]) for one, other in zip(feeds, again, strict=True))
    assert not unet._forward_pre_hooks


@needs_nncf
def test_an_expert_is_quantized_and_says_on_what(mini, tmp_path_factory, tmp_path):
    prompts = PROMPTS[: calibration.MEASURED + 1]
    spec, part = part_of(mini, tmp_path / "b", prompts)
    folder = tmp_path / "part"
    folder.mkdir()
    source = build_mini(tmp_path_factory)
    made = parts.make(parts.PartJob(part, spec, folder, lambda stage, share: None, source))
    assert 0 < made.measures["int8"] < 0.5
    place = folder / "experts/0/unet"
    assert sorted(path.name for path in folder.rglob("*.*")) == ["int8.bin", "int8.json", "int8.xml"]
    record = json.loads((place / int8.RECORD).read_text())
    assert record["prompts"] == list(prompts)
    model = openvino.openvino().Core().read_model(place / int8.GRAPH)
    convolutions = [one for one in model.get_ordered_ops() if one.get_type_name() == "Convolution"]
    assert {convolutions[0].get_friendly_name(), convolutions[-1].get_friendly_name()} <= set(record["kept"])
    ranged = [reads_range(one) for one in convolutions]
    assert sum(ranged) > len(ranged) / 2
    assert not any(reads_range(one) for one in convolutions if one.get_friendly_name() in record["kept"])
    assert (place / int8.WEIGHTS).stat().st_size < (source / "experts/0/unet/model.onnx.data").stat().st_size
    assert not list(source.rglob("serve.onnx.data"))


def reads_range(operator):
    """Return whether what an operator reads was put into a range of eight bits."""
    return operator.input_value(0).get_node().get_type_name() == "FakeQuantize"


def convolution(opset, read, channels, side, name):
    weight = np.zeros((channels, read.get_output_partial_shape(0)[1].get_length(), side, side), np.float32)
    pad = [side // 2] * 2
    made = opset.convolution(read, weight, [1, 1], pad, pad, [1, 1])
    made.set_friendly_name(name)
    return made


@needs_openvino
def test_ends_and_what_reads_the_clock_and_skips_at_full_resolution_are_kept():
    openvino.openvino()  # the quiet way to import it
    from openvino import Model, opset13

    sample, skip = (opset13.parameter([1, 4, side, side], np.float32, f"sample{side}") for side in (4, 8))
    embedding = opset13.parameter([1, 6], np.float32, "time_embedding")
    embedding.output(0).set_names({"time_embedding"})
    first = convolution(opset13, sample, 4, 3, "first")
    timed = opset13.matmul(embedding, np.zeros((6, 4), np.float32), False, False, name="timed")
    biased = opset13.add(first, opset13.reshape(timed, [1, 4, 1, 1], False))
    low = convolution(opset13, opset13.concat([biased, sample], 1), 4, 1, "shortcut below")
    projected = convolution(opset13, low, 4, 1, "projection")
    larger = opset13.interpolate(projected, [8, 8], "nearest", "sizes", axes=[2, 3])
    both = opset13.concat([larger, skip], 1)
    shortcut = convolution(opset13, both, 4, 1, "shortcut")
    product = convolution(opset13, both, 4, 3, "product")
    mixed = convolution(opset13, opset13.add(shortcut, product), 4, 1, "one tensor")
    last = convolution(opset13, mixed, 4, 3, "last")
    model = Model([last], [sample, skip, embedding])
    assert int8.sensitive(model) == ["first", "last", "timed", "shortcut"]


@needs_openvino
def test_an_output_that_is_broken_is_an_error(tmp_path):
    bundle = Bundle.open(write_bundle(tmp_path / "bundle"))
    graph = Cache(tmp_path / "cache").serving_graph(bundle, bundle.manifest.experts["0"].model)
    sample, embedding, conditioning = unet_inputs(1)
    feed = {"sample": sample, "time_embedding": embedding, **conditioning}
    wanted = open_session(graph, "cpu").run("out_sample", feed)
    # What is not in eight bits is computed in bfloat16 where the processor has it, whose numbers have 8 bits.
    assert int8.error(graph, [feed], [wanted], 1) < (2**-8 if openvino.computes_in("bfloat16") else 1e-5)
    with pytest.raises(OutputError, match="int8: .* outputs are not finite"):
        int8.error(graph, [{**feed, "time_embedding": embedding * np.nan}], [wanted], 1)


@needs_nncf
def test_quantizing_tells_nobody():
    """NNCF's telemetry is openvino_telemetry, which must not have been imported."""
    code = """
import sys
from runtime.engines import openvino
with openvino.silenced():
    import nncf
from nncf.telemetry.wrapper import telemetry
print(type(telemetry).__name__, "openvino_telemetry" in sys.modules)
"""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.split()[-2:] == ["MagicMock", "False"]
