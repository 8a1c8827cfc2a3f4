import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, save

from runtime.engines import providers
from runtime.engines.engine import GraphEngine
from runtime.engines.session import BoundEngine, open_session
from runtime.errors import EngineFailure, EnvironmentMismatch
from tests.bundles import unet_inputs

ARENA = """
import sys
from pathlib import Path
import numpy as np
from runtime.engines.session import open_session

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


def test_pinned_dimensions_give_the_same_function(unet: Path) -> None:
    free = GraphEngine(open_session(unet, "cpu"))
    pinned = open_session(unet, "cpu", overrides={"batch": 2, "height": 8, "width": 8}, threads=1)
    call = unet_inputs(2)
    assert np.array_equal(free.run(*call), GraphEngine(pinned).run(*call))
    with pytest.raises(EngineFailure, match="failed while running"):
        GraphEngine(pinned).run(*unet_inputs(3))


def test_a_graph_that_does_not_open(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(EngineFailure, match=r"model.onnx: does not open on provider 'cpu'"):
        open_session(tmp_path / "model.onnx", "cpu")


def test_a_graph_with_other_inputs(unet: Path) -> None:
    with pytest.raises(EngineFailure, match="manifest says"):
        open_session(unet, "cpu").require(["sample", "time_embedding", "text_embeds"], "out_sample")


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
    sample, time_embedding, conditioning = unet_inputs(2)
    for step in (time_embedding, time_embedding + 1):
        wanted = GraphEngine(open_session(unet, "cpu")).run(sample, step, conditioning)
        assert np.array_equal(engine.run(sample, step, conditioning), wanted)
    assert [binding.kept for binding in bindings] == [["encoder_hidden_states"]]
    engine.run(sample, time_embedding, dict(conditioning))
    assert len(bindings) == 2


def test_a_gpu_that_has_no_room(unet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(onnxruntime, "OrtValue", SimpleNamespace(ortvalue_from_numpy=full))
    with pytest.raises(EngineFailure, match="cannot be put on the GPU: out of memory"):
        BoundEngine(open_session(unet, "cpu")).run(*unet_inputs(1))


def test_a_provider_that_onnxruntime_went_on_without(unet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.engines.session.in_use", lambda session, provider: False)
    with pytest.raises(EngineFailure, match="provider 'cpu' did not load"):
        open_session(unet, "cpu")


@pytest.mark.parametrize(
    ("provider", "names"),
    [
        ("cuda", ["CUDAExecutionProvider"]),
        ("tensorrt", ["TensorrtExecutionProvider", "CUDAExecutionProvider"]),
    ],
)
def test_gpus_are_asked_for_float32(provider: str, names: list[str]) -> None:
    asked = providers.configure(None, provider)["providers"]
    assert [name for name, _ in asked] == names
    assert asked[-1][1]["use_tf32"] == "0"
    assert asked[0][1].get("trt_fp16_enable", "0") == "0"
