"""ONNX Runtime's execution providers: which of them this machine has, and how a session is given one.

Nothing is imported before it is needed.
"""

import platform
from collections.abc import Mapping
from functools import cache
from typing import Any

from ..errors import EnvironmentMismatch
from . import nvidia

_PIN_FLOAT32 = {"load_config": '{"CPU": {"INFERENCE_PRECISION_HINT": "f32"}}'}
_IN_ORT = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
ON_GPU = ("cuda", "tensorrt")
PROVIDERS = ("cpu", "openvino", "cuda", "tensorrt")


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


def missing(provider: str) -> str | None:
    """Why `provider` cannot be used here, or None if it can."""
    if provider == "cpu":
        return None
    if provider == "openvino":
        devices, reason = _openvino_devices()
        return None if devices else reason
    ort = onnxruntime()
    if _IN_ORT[provider] not in ort.get_available_providers():
        return f"onnxruntime {ort.__version__} as installed lacks it (it comes with `aptp[gpu]`)"
    return nvidia.missing()


def best_on_cpu() -> str:
    """The provider that serves best on this processor."""
    return "openvino" if missing("openvino") is None else "cpu"


def configure(options: Any, provider: str, precision: str) -> dict[str, Any]:
    """Prepare session `options` for `provider`; what is returned are further arguments of InferenceSession.

    `precision` is `float32`, or `fast` for what the provider finds best on this machine.
    """
    if provider == "openvino":
        devices, _ = _openvino_devices()
        options.add_provider_for_devices(devices, _PIN_FLOAT32 if precision == "float32" else {})
        return {}
    if provider == "cpu":
        _share_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
        return {"providers": [_IN_ORT["cpu"]]}
    chosen = [(_IN_ORT[provider], _settings(provider, precision))]
    if provider == "tensorrt":  # which takes the parts of a graph it knows, and leaves the others
        chosen.append((_IN_ORT["cuda"], _settings("cuda", precision)))
    return {"providers": chosen}


def _settings(provider: str, precision: str) -> Mapping[str, str]:
    fast = str(int(precision == "fast"))
    if provider == "tensorrt":
        return {"trt_fp16_enable": fast, "trt_timing_cache_enable": "1", "trt_engine_cache_enable": "0"}
    # Grows by what is asked for, not in powers of two: the weights are most of it.
    return {"use_tf32": fast, "arena_extend_strategy": "kSameAsRequested"}


def in_use(session: Any, provider: str) -> bool:
    """Whether a session runs on `provider`: onnxruntime goes on without one that does not load."""
    return provider == "openvino" or _IN_ORT[provider] in session.get_providers()


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
