"""Graphs on ONNX Runtime: choosing a provider, opening sessions, running them.

Refuses providers that this machine does not have, by name. Nothing is imported before it is needed.
"""

import platform
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EngineFailure, EnvironmentMismatch, UsageError, nearest

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]

PROVIDERS = ("auto", "openvino", "cpu")
_FATAL_AND_ERROR = 3
_PIN_FLOAT32 = {"load_config": '{"CPU": {"INFERENCE_PRECISION_HINT": "f32"}}'}


@cache
def onnxruntime() -> Any:
    """The onnxruntime module. Raises `EnvironmentMismatch` where neither distribution of it is installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise EnvironmentMismatch(
            "onnxruntime is not installed; install `aptp[cpu]` or `aptp[gpu]` (not both: they share a module)"
        ) from error
    return onnxruntime


def choose_provider(name: str) -> str:
    """`openvino` or `cpu`: what `name` asks for, or for `auto` the best this machine has.

    Raises `UsageError` for an unknown name, `EnvironmentMismatch` where it cannot be had.
    """
    if name not in PROVIDERS:
        listed = ", ".join(PROVIDERS)
        raise UsageError(f"provider {name!r} is not one of {listed}{nearest(name, PROVIDERS)}")
    if name == "cpu":
        return "cpu"
    devices, reason = _openvino_devices()
    if devices:
        return "openvino"
    if name == "openvino":
        raise EnvironmentMismatch(f"provider 'openvino' cannot be used: {reason}; use 'cpu' or 'auto'")
    return "cpu"


@cache
def _openvino_devices() -> tuple[list[Any], str]:
    """The plugin's CPU device in a list, or none and the reason. Registers the plugin once per process."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return [], f"it runs on x86 processors, and this is {platform.machine()}"
    try:
        import onnxruntime_ep_openvino as plugin
    except ImportError:
        return [], "onnxruntime-ep-openvino is not installed (it comes with `aptp[cpu]`)"
    ort = onnxruntime()
    if not hasattr(ort, "register_execution_provider_library"):
        return [], f"onnxruntime {ort.__version__} cannot load provider plugins"
    name = plugin.get_ep_name()
    try:
        ort.register_execution_provider_library(name, plugin.get_library_path())
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no narrower base
        if "already registered" not in str(error):  # by someone else in this process
            return [], f"its plugin does not load: {error}"
    cpu = ort.OrtHardwareDeviceType.CPU
    devices = [
        device for device in ort.get_ep_devices() if device.ep_name == name and device.device.type == cpu
    ]
    return devices[:1], "its plugin offers no device for this processor (it accepts Intel CPUs only)"


@cache
def _share_arena() -> None:
    """Let all CPU sessions of this process allocate from one arena.

    One call runs at a time, so one arena of activations is enough; one per session would hold one for every
    expert (four sessions of a convolution stack grew by 83 MiB in all, instead of 265).
    """
    ort = onnxruntime()
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    as_requested = {"arena_extend_strategy": 1}
    ort.create_and_register_allocator(place, ort.OrtArenaCfg(as_requested))


def open_session(
    graph: Path,
    provider: str,
    *,
    overrides: Mapping[str, int] | None = None,
    precision: str = "float32",
    threads: int | None = None,
) -> "Session":
    """Open `graph` on `provider` (`openvino` or `cpu`) with the named dimensions pinned by `overrides`.

    `precision` is `float32`, or `fast` for what the provider finds best on this machine (bfloat16 on some).
    Raises `EngineFailure`.
    """
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_AND_ERROR
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads or 0
    for name, size in (overrides or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    if provider == "openvino":
        devices, _ = _openvino_devices()
        options.add_provider_for_devices(devices, _PIN_FLOAT32 if precision == "float32" else {})
    else:
        _share_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        session = ort.InferenceSession(
            str(graph), options, providers=None if provider == "openvino" else ["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors share no narrower base
        raise EngineFailure(f"{graph}: does not open on provider {provider!r}: {error}") from error
    return Session(session, graph)


class Session:
    """An open graph. `inputs` and `outputs` are the names of its tensors."""

    def __init__(self, session: Any, graph: Path) -> None:
        self._session, self._graph = session, graph
        self.inputs = tuple(item.name for item in session.get_inputs())
        self.outputs = tuple(item.name for item in session.get_outputs())

    def require(self, inputs: Sequence[str], output: str) -> None:
        """Refuse a graph with other inputs than `inputs`, or without `output`. Raises `EngineFailure`."""
        if set(self.inputs) != set(inputs) or output not in self.outputs:
            raise EngineFailure(
                f"{self._graph}: takes {sorted(self.inputs)} and gives {sorted(self.outputs)}, and the "
                f"manifest says {sorted(inputs)} and {output!r}; build the bundle again"
            )

    def run(self, output: str, inputs: Mapping[str, Array]) -> Float32:
        """The tensor `output` for `inputs`. Raises `EngineFailure`."""
        try:
            result: Float32 = self._session.run([output], inputs)[0]
        except Exception as error:  # onnxruntime's errors share no narrower base
            raise EngineFailure(f"{self._graph}: failed while running: {error}") from error
        return result


class OnnxEngine:
    """An expert's UNet in one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, sample: Float32, timestep: Float32, conditioning: Mapping[str, Float32]) -> Float32:
        """As `Engine.run`."""
        return self._session.run("out_sample", {"sample": sample, "timestep": timestep, **conditioning})
