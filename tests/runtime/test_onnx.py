import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, save

from runtime.bundle.reader import Bundle
from runtime.engines import providers
from runtime.engines.engine import GraphEngine
from runtime.engines.onnx import BoundEngine, open_session
from runtime.errors import EngineFailure, EnvironmentMismatch

ARENA = """
import sys
from pathlib import Path
import numpy as np
from runtime.engines.onnx import open_session

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

sessions = [open_session(Path(sys.argv[1]), "cpu", threads=1) for _ in range(4)]
sample = np.zeros((1, 16, 512, 512), np.float32)
sessions[0].run("x3", {"x0": sample})
one = resident()
for session in sessions[1:]:
    session.run("x3", {"x0": sample})
print(resident() - one)
"""


@pytest.fixture
def unet(bundle: Bundle) -> Path:
    return bundle.file("experts/0/unet/model.onnx")


def arguments(rows: int, side: int = 8) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    shapes = (rows, 4, side, side), (rows,), (rows, 8, 8)
    sample, timestep, states = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    return sample, timestep, {"encoder_hidden_states": states}


def test_pinned_dimensions_give_the_same_function(unet: Path) -> None:
    free = GraphEngine(open_session(unet, "cpu"))
    pinned = open_session(unet, "cpu", overrides={"batch": 2, "height": 8, "width": 8}, threads=1)
    call = arguments(2)
    assert np.array_equal(free.run(*call), GraphEngine(pinned).run(*call))
    with pytest.raises(EngineFailure, match="failed while running"):
        GraphEngine(pinned).run(*arguments(3))


def test_a_graph_that_does_not_open(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(EngineFailure, match=r"model.onnx: does not open on provider 'cpu'"):
        open_session(tmp_path / "model.onnx", "cpu")


def test_a_graph_with_other_inputs(unet: Path) -> None:
    with pytest.raises(EngineFailure, match="manifest says"):
        open_session(unet, "cpu").require(["sample", "timestep", "text_embeds"], "out_sample")


def test_without_onnxruntime(without, unet: Path) -> None:
    without("onnxruntime")
    with pytest.raises(EnvironmentMismatch, match=r"install `aptp\[cpu\]` or `aptp\[gpu\]`"):
        open_session(unet, "cpu")


def test_cpu_sessions_share_one_arena(tmp_path: Path) -> None:
    """Activations of one session, not of four, stay allocated: measured in a process of its own."""
    kernel = helper.make_tensor("k", TensorProto.FLOAT, [16, 16, 1, 1], np.ones(256, np.float32) / 16)
    nodes = [helper.make_node("Conv", [f"x{index}", "k"], [f"x{index + 1}"]) for index in range(3)]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, 512, 512]) for name in ("x0", "x3")
    ]
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], [kernel])
    save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
        tmp_path / "m.onnx",
    )
    child = subprocess.run(
        [sys.executable, "-c", ARENA, str(tmp_path / "m.onnx")], capture_output=True, check=True
    )
    assert int(child.stdout) < 32 * 2**20  # three arenas more would be 96 MiB


class Options:
    """Records what a session is asked for."""

    def __init__(self) -> None:
        self.added: list[Any] = []

    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        self.added.append((name, size))

    def add_session_config_entry(self, name: str, value: str) -> None: ...

    def add_provider_for_devices(self, devices: list[Any], options: dict[str, str]) -> None:
        self.added.append((devices, options))


@pytest.mark.parametrize(("precision", "pinned"), [("float32", True), ("fast", False)])
def test_what_openvino_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, unet: Path, precision: str, pinned: bool
) -> None:
    options = Options()
    monkeypatch.setattr(providers, "_openvino_devices", lambda: (["device"], ""))
    monkeypatch.setattr(onnxruntime, "SessionOptions", lambda: options)
    real = onnxruntime.InferenceSession
    asked: list[Any] = []

    def open_real(path: str, _: Any, **more: Any) -> Any:
        asked.append(more)
        return real(path, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", open_real)
    open_session(unet, "openvino", overrides={"batch": 2}, precision=precision)
    wanted = {"load_config": '{"CPU": {"INFERENCE_PRECISION_HINT": "f32"}}'} if pinned else {}
    assert options.added == [("batch", 2), (["device"], wanted)]
    assert asked == [{}]


def test_openvino_gives_the_same_function(unet: Path) -> None:
    devices, reason = providers._openvino_devices()
    if not devices:
        pytest.skip(f"no OpenVINO here: {reason}")
    results = [
        GraphEngine(open_session(unet, provider)).run(*arguments(2)) for provider in ("cpu", "openvino")
    ]
    assert np.abs(results[0] - results[1]).max() < 1e-5


class Binding:
    """Records what is bound, and computes on the CPU what onnxruntime would on a GPU."""

    def __init__(self, session: Any) -> None:
        self.session, self.inputs, self.kept = session, {}, list[str]()

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        self.kept.append(name)
        self.inputs[name] = value

    def bind_cpu_input(self, name: str, array: np.ndarray) -> None:
        self.inputs[name] = array

    def bind_output(self, name: str, device: str) -> None:
        assert (name, device) == ("out_sample", "cpu")

    def copy_outputs_to_cpu(self) -> list[np.ndarray]:
        return [self.session.run(["out_sample"], self.inputs)[0]]


def test_conditioning_is_put_on_the_gpu_once(unet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = open_session(unet, "cpu")
    real, bindings = session._session, []

    def io_binding() -> Binding:
        bindings.append(Binding(real))
        return bindings[-1]

    names = {name: getattr(real, name) for name in ("get_inputs", "get_outputs", "run")}
    session._session = SimpleNamespace(**names, io_binding=io_binding, run_with_iobinding=lambda _: None)
    put = SimpleNamespace(ortvalue_from_numpy=lambda array, device, number: array)
    monkeypatch.setattr(onnxruntime, "OrtValue", put)
    engine = BoundEngine(session)
    sample, timestep, conditioning = arguments(2)
    for step in (timestep, timestep + 1):
        wanted = GraphEngine(open_session(unet, "cpu")).run(sample, step, conditioning)
        assert np.array_equal(engine.run(sample, step, conditioning), wanted)
    assert [binding.kept for binding in bindings] == [["encoder_hidden_states"]]
    engine.run(sample, timestep, dict(conditioning))
    assert len(bindings) == 2


def test_a_gpu_that_has_no_room(unet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(onnxruntime, "OrtValue", SimpleNamespace(ortvalue_from_numpy=full))
    with pytest.raises(EngineFailure, match="cannot be put on the GPU: out of memory"):
        BoundEngine(open_session(unet, "cpu")).run(*arguments(1))


def test_a_provider_that_onnxruntime_went_on_without(unet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.engines.onnx.in_use", lambda session, provider: False)
    with pytest.raises(EngineFailure, match="provider 'cpu' did not load"):
        open_session(unet, "cpu")


@pytest.mark.parametrize(
    ("provider", "names"),
    [
        ("cuda", ["CUDAExecutionProvider"]),
        ("tensorrt", ["TensorrtExecutionProvider", "CUDAExecutionProvider"]),
    ],
)
def test_what_gpus_are_asked_for(provider: str, names: list[str]) -> None:
    for precision, tf32 in (("float32", "0"), ("fast", "1")):
        asked = providers.configure(None, provider, precision)["providers"]
        assert [name for name, _ in asked] == names
        assert asked[-1][1]["use_tf32"] == tf32
