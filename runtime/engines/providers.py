"""ONNX Runtime's execution providers: which of them this machine has, and how a session is given one.

Nothing is imported before it is needed. ONNX Runtime's telemetry, which sends what machine this is to its
makers, is off unless the user set its variable.
"""

import os
from functools import cache
from typing import Any

from runtime.engines import nvidia
from runtime.errors import EnvironmentMismatch

_IN_ORT = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_SETTINGS = {
    "tensorrt": {"trt_fp16_enable": "0", "trt_timing_cache_enable": "1", "trt_engine_cache_enable": "0"},
    # Grows by what is asked for, not in powers of two: the weights are most of it.
    "cuda": {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"},
}
ON_GPU = ("cuda", "tensorrt")
PROVIDERS = ("cpu", "cuda", "tensorrt")


@cache
def onnxruntime() -> Any:
    """Return the onnxruntime module. Raises `EnvironmentMismatch` where neither distribution of it is
    installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when the library is loaded
    try:
        import onnxruntime
    except ImportError as error:
        raise EnvironmentMismatch(
            "onnxruntime is not installed; install `aptp[cpu]` or `aptp[gpu]` (not both: they share a module)"
        ) from error
    return onnxruntime


def missing(provider: str) -> str | None:
    """Return why `provider` cannot be used here, or None if it can."""
    if provider == "cpu":
        return None
    ort = onnxruntime()
    if _IN_ORT[provider] not in ort.get_available_providers():
        return f"onnxruntime {ort.__version__} as installed lacks it (it comes with `aptp[gpu]`)"
    return nvidia.missing()


def configure(options: Any, provider: str) -> dict[str, Any]:
    """Prepare `options` for `provider`; what is returned are further arguments of InferenceSession."""
    if provider == "cpu":
        _share_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
        return {"providers": [_IN_ORT["cpu"]]}
    chosen = [(_IN_ORT[provider], _SETTINGS[provider])]
    if provider == "tensorrt":  # which takes the parts of a graph it knows, and leaves the others
        chosen.append((_IN_ORT["cuda"], _SETTINGS["cuda"]))
    return {"providers": chosen}


def in_use(session: Any, provider: str) -> bool:
    """Return whether a session runs on `provider`: onnxruntime goes on without one that does not load."""
    return _IN_ORT[provider] in session.get_providers()


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
