"""Graphs on OpenVINO: the same function as on ONNX Runtime, asked for as it was meant, and telling nobody."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime import Pipeline
from runtime.bundle.reader import Bundle
from runtime.engines import openvino
from runtime.engines.engine import GraphEngine
from runtime.engines.openvino import open_model, silenced
from runtime.engines.session import open_session
from runtime.errors import EngineFailure, EnvironmentMismatch
from runtime.machine import processor
from runtime.models.cache import Cache
from runtime.request.params import GenerationParams
from tests.bundles import add_int8, unet_inputs

ROOT = Path(__file__).parents[3]
HERE = openvino.missing()
needs_openvino = pytest.mark.skipif(HERE is not None, reason=f"no OpenVINO here: {HERE}")

PINS = [
    pytest.param({}, id="all free"),
    pytest.param({"height": 8, "width": 8}, id="rows free"),
    pytest.param({"batch": 2, "height": 8, "width": 8}, id="pinned"),
]


@needs_openvino
@pytest.mark.parametrize("overrides", PINS)
def test_it_gives_the_same_function(unet: Path, overrides: dict[str, int]) -> None:
    given = unet_inputs(2)
    wanted = GraphEngine(open_session(unet, "cpu")).run(*given)
    found = GraphEngine(open_model(unet, overrides=overrides, threads=1)).run(*given)
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() < 1e-5


@needs_openvino
def test_free_rows_are_any_number_and_pinned_ones_are_those(unet: Path) -> None:
    sides = {"height": 8, "width": 8}
    free, pinned = (GraphEngine(open_model(unet, overrides=pins)) for pins in (sides, {**sides, "batch": 2}))
    alone = free.run(*unet_inputs(2))[:1]
    sample, embedding, conditioning = unet_inputs(2)
    states = conditioning["encoder_hidden_states"]
    one = free.run(sample[:1], embedding[:1], {"encoder_hidden_states": states[:1]})
    assert np.abs(one - alone).max() < 1e-6
    with pytest.raises(EngineFailure, match="serve.onnx: failed while running"):
        pinned.run(*unet_inputs(3))


@needs_openvino
def test_eight_bits_are_served_from_their_own_file(
    bundle: Bundle, copy_path: Path, cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of expert 1 stands for all experts' eight bits: what they draw tells which was read.

    On every processor in float32, which the two files are compared in.
    """
    monkeypatch.setattr(openvino, "computes_in", lambda precision: precision == "float32")
    graph = Cache(cache_path).serving_graph(bundle, bundle.manifest.experts["1"].model)
    module = openvino.openvino()
    module.save_model(module.Core().read_model(graph), tmp_path / "int8.xml", compress_to_fp16=False)
    files = [(tmp_path / f"int8.{kind}").read_bytes() for kind in ("xml", "bin")]
    add_int8(copy_path, sorted(bundle.manifest.experts), *files)

    def image(precision: str, code: int) -> Any:
        with Pipeline.open(copy_path, engine="openvino", precision=precision, cache=cache_path) as pipeline:
            (made,) = pipeline.generate("a red circle", GenerationParams(seed=3, code=code))
        return made.pixels

    apart = [np.abs(image("int8", code).astype(int) - image("float32", code)).max() for code in (0, 1)]
    assert apart[0] > 1 >= apart[1]


@needs_openvino
def test_an_image_is_that_of_the_cpu_engine(bundle_path: Path, cache_path: Path, runtime: Pipeline) -> None:
    (wanted,) = runtime.generate("a red circle", GenerationParams(seed=3))
    with Pipeline.open(bundle_path, engine="openvino", cache=cache_path) as opened:
        (found,) = opened.generate("a red circle", GenerationParams(seed=3))
    assert np.abs(found.pixels.astype(int) - wanted.pixels).max() <= 1
    assert np.ptp(found.pixels) > 0


@needs_openvino
def test_an_output_is_the_callers_own_and_inputs_are_read_again(unet: Path) -> None:
    engine = GraphEngine(open_model(unet))
    sample, embedding, conditioning = unet_inputs(2)
    first = engine.run(sample, embedding, conditioning)
    before = first.copy()
    sample += 1  # as the scheduler writes the next step's
    second = engine.run(sample, embedding, conditioning)
    assert np.array_equal(first, before)
    wanted = GraphEngine(open_session(unet, "cpu")).run(sample, embedding, conditioning)
    assert np.abs(second - wanted).max() < 1e-5
    assert not np.array_equal(first, second)


@needs_openvino
def test_a_graph_with_other_inputs(unet: Path) -> None:
    graph = open_model(unet)
    graph.require(["time_embedding", "sample", "encoder_hidden_states"], "out_sample")
    for inputs, output in (
        (["sample", "timestep", "encoder_hidden_states"], "out_sample"),
        (["sample", "time_embedding", "encoder_hidden_states"], "sample"),
    ):
        with pytest.raises(
            EngineFailure, match=r"serve.onnx: takes .*'time_embedding'\] and gives \['out_sa"
        ):
            graph.require(inputs, output)


@needs_openvino
@pytest.mark.parametrize("name", ["sample", "time_embedding"])
def test_inputs_that_a_graph_does_not_take(unet: Path, name: str) -> None:
    sample, embedding, conditioning = unet_inputs(1)
    inputs = {"sample": sample, "time_embedding": embedding, **conditioning}
    with pytest.raises(EngineFailure, match="failed while running"):
        open_model(unet).run("out_sample", {**inputs, name: inputs[name][:, :3]})


@needs_openvino
@pytest.mark.parametrize("data", [b"", b"no graph"])
def test_a_file_that_is_no_graph(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "serve.onnx").write_bytes(data)
    with pytest.raises(EngineFailure, match="serve.onnx: does not open on engine 'openvino'"):
        open_model(tmp_path / "serve.onnx")


class Core:
    """OpenVINO's core for this test: opens in float32 and keeps what it was asked for."""

    def __init__(self, *capabilities: str, devices: tuple[str, ...] = ("CPU",)) -> None:
        self.capabilities, self.available_devices = list(capabilities), list(devices)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.shapes: dict[str, str] = {}

    def get_property(self, device: str, name: str) -> list[str]:
        assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
        return self.capabilities

    def read_model(self, path: str) -> Any:
        return openvino.openvino().Core().read_model(path)

    def compile_model(self, model: Any, device: str, settings: dict[str, str]) -> Any:
        self.asked.append((device, settings))
        self.shapes = {item.any_name: str(item.get_partial_shape()) for item in model.inputs}
        return openvino.openvino().Core().compile_model(model, device, {})


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Core]:
    def install(*capabilities: str, **more: Any) -> Core:
        made = Core(*capabilities, **more)
        monkeypatch.setattr(openvino, "_core", lambda: made)
        return made

    return install


@needs_openvino
@pytest.mark.parametrize(("precision", "hint"), [("float32", "f32"), ("bfloat16", "bf16")])
@pytest.mark.parametrize(("threads", "asked"), [(None, {}), (3, {"INFERENCE_NUM_THREADS": "3"})])
def test_what_is_asked_for(
    core: Callable[..., Core],
    unet: Path,
    precision: str,
    hint: str,
    threads: int | None,
    asked: dict[str, str],
) -> None:
    made = core()
    open_model(unet, overrides={"batch": 2, "width": 8}, precision=precision, threads=threads)
    settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", **asked}
    assert made.asked == [("CPU", settings)]
    assert made.shapes == {
        "sample": "[2,4,?,8]",
        "time_embedding": "[2,4]",
        "encoder_hidden_states": "[2,8,8]",
    }


@pytest.mark.parametrize(
    ("vectors", "capabilities", "computes"),
    [
        ("amx_bf16", ("FP32", "BF16"), True),
        ("avx512_bf16", ("FP32", "BF16"), True),
        ("avx512_bf16", ("FP32", "INT8"), False),
        ("avx512f", ("FP32", "BF16"), False),  # by instructions made for something else
    ],
)
def test_a_processor_computes_in_what_it_and_openvino_say(
    core: Callable[..., Core],
    monkeypatch: pytest.MonkeyPatch,
    vectors: str,
    capabilities: tuple[str, ...],
    computes: bool,
) -> None:
    monkeypatch.setattr(processor, "vectors", lambda: vectors)
    core(*capabilities)
    assert openvino.computes_in("bfloat16") == computes
    assert openvino.computes_in("float32")


def test_a_processor_that_openvino_has_no_device_for(
    core: Callable[..., Core], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "vectors", lambda: "amx_bf16")
    core("BF16", devices=("GPU",))
    assert openvino.missing() == "openvino offers no device for this processor"
    assert not openvino.computes_in("bfloat16")


@pytest.fixture
def importing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget, within a test and after it, what was imported and opened before."""
    kept = (openvino.openvino, openvino._core)
    for one in kept:
        one.cache_clear()
    yield
    monkeypatch.undo()
    for one in kept:
        one.cache_clear()


@pytest.mark.usefixtures("importing")
def test_it_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processor, "vectors", lambda: "amx_bf16")
    monkeypatch.setattr(openvino, "find_spec", lambda name: None)
    said = "openvino is not installed (it comes with `aptp[cpu]`)"
    with pytest.raises(EnvironmentMismatch) as caught:
        openvino.openvino()
    assert str(caught.value) == openvino.missing() == said
    assert openvino.computes_in("float32")
    assert not openvino.computes_in("bfloat16")


@pytest.mark.usefixtures("importing")
def test_it_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EnvironmentMismatch, match="openvino does not load: .*openvino"):
        openvino.openvino()


@pytest.mark.usefixtures("importing")
@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("2025.4.1-20426-82bbf0292c5", "2025.4.1-.* is installed, and this engine needs 2026.1 or newer"),
        ("2026.0.0", "2026.0.0 is installed, and this engine needs 2026.1 or newer"),
        ("2026.1.0", None),
        ("2027.0.0", None),
    ],
)
def test_it_is_too_old(monkeypatch: pytest.MonkeyPatch, version: str, said: str | None) -> None:
    module: Any = ModuleType("openvino")
    module.__version__, module.Core = version, lambda: SimpleNamespace(available_devices=["CPU"])
    monkeypatch.setattr(openvino, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "openvino", module)
    if said is None:
        assert openvino.missing() is None
        return
    with pytest.raises(EnvironmentMismatch, match=said):
        openvino.openvino()


TELEMETRY = "openvino_telemetry"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's home, in a process that has not imported the telemetry."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delitem(sys.modules, TELEMETRY, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("consent", "let_in"),
    [(None, False), (b"0", False), (b"", False), (b"\xff1", False), (b"1", True), (b"1\n", True)],
)
def test_the_telemetry_is_let_in_where_its_users_said_yes(
    home: Path, consent: bytes | None, let_in: bool
) -> None:
    if consent is not None:
        (home / "intel").mkdir()
        (home / "intel" / TELEMETRY).write_bytes(consent)
    with silenced():
        assert (TELEMETRY not in sys.modules) == let_in
        if not let_in:
            with pytest.raises(ImportError):
                __import__(TELEMETRY)
    assert TELEMETRY not in sys.modules


def test_it_can_be_imported_again_after_an_error(home: Path) -> None:
    with pytest.raises(RuntimeError, match="no such instruction"), silenced():
        raise RuntimeError("no such instruction")
    assert TELEMETRY not in sys.modules


def test_a_telemetry_that_was_imported_before_is_left_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType(TELEMETRY)
    monkeypatch.setitem(sys.modules, TELEMETRY, module)
    with silenced():
        assert sys.modules[TELEMETRY] is module
    assert sys.modules[TELEMETRY] is module


ALONE = """
import socket, sys

asked = []

def refuse(*what, **more):
    asked.append(what)
    raise OSError("there is no network here")

class Socket(socket.socket):
    __init__ = refuse

socket.socket, socket.create_connection, socket.getaddrinfo = Socket, refuse, refuse

from runtime import Pipeline
with Pipeline.open(sys.argv[1], engine="openvino", cache=sys.argv[2]) as runtime:
    (image,) = runtime.generate("a red circle")
assert image.pixels.shape == (16, 16, 3), image.pixels.shape
assert image.pixels.std() > 0
assert not asked, asked
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]
print("drawn")
"""


@needs_openvino
def test_an_image_is_drawn_without_asking_the_network_and_nothing_is_left_at_home(
    bundle_path: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    child = subprocess.run(
        [sys.executable, "-c", ALONE, str(bundle_path), str(tmp_path / "cache")],
        env={**os.environ, "HOME": str(home)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert child.stdout == "drawn\n", child.stderr
    assert not (home / "intel").exists()
