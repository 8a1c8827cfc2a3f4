"""Graphs on OpenVINO, natively: x86-64 and Arm processors, in float32 or in the bfloat16 they compute in.

Importing OpenVINO sends an event to its makers, unless its users said no. Here it sends none, unless they
said yes.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from runtime.engines.engine import Array, Float32, Graph
from runtime.errors import EngineFailure, EnvironmentMismatch
from runtime.machine import processor

LEAST = (2026, 1)
# Bytes of private memory for each weight of an open graph, by precision: measured on an expert of SD 2.1 with
# 407 M parameters after two calls, on Zen 3 and Zen 5; larger ones hold less. The float32 weights that it
# reads are mapped, and not among them.
HELD = {"float32": 4.3, "bfloat16": 2.4}
# By the names of `runtime.engines.precision.PRECISIONS`. Beside products of eight bits everything else is
# computed in bfloat16, where the processor has it.
_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_NATIVE = ("amx_bf16", "avx512_bf16")  # classes of processor with instructions for bfloat16
_TELEMETRY = "openvino_telemetry"


@cache
def openvino() -> Any:
    """Return the openvino module. Raises `EnvironmentMismatch` where it is not installed, or too old."""
    if find_spec("openvino") is None:
        raise EnvironmentMismatch("openvino is not installed (it comes with `aptp[cpu]`)")
    try:
        with silenced():
            import openvino
    except Exception as error:  # its libraries raise what they like where the processor is not theirs
        raise EnvironmentMismatch(f"openvino does not load: {error}") from error
    version = openvino.__version__
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST:
        least = ".".join(map(str, LEAST))
        raise EnvironmentMismatch(f"openvino {version} is installed, and this engine needs {least} or newer")
    return openvino


@contextmanager
def silenced() -> Iterator[None]:
    """Within this, importing OpenVINO or NNCF sends nothing, unless the user opted in (`opt_in_out`)."""
    if _TELEMETRY in sys.modules or _opted_in():
        yield
        return
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        yield
    finally:
        del sys.modules[_TELEMETRY]


def _opted_in() -> bool:
    try:
        return (Path.home() / "intel" / _TELEMETRY).read_text(encoding="utf-8").startswith("1")
    except (OSError, RuntimeError, UnicodeDecodeError):  # no such file, or nobody's home
        return False


def missing() -> str | None:
    """Return why OpenVINO cannot be used here, or None if it can."""
    try:
        devices = _core().available_devices
    except EnvironmentMismatch as error:
        return str(error)
    return None if "CPU" in devices else "openvino offers no device for this processor"


def wins() -> bool:
    """Return whether `auto` prefers it to ONNX Runtime's CPU provider: where the processor computes in
    bfloat16.

    There a step of SD 2.1's dense UNet takes 0.47 of the provider's time (Zen 5). Where there is nothing
    beyond AVX2 it takes as long, and an expert opens again in twice the time (Zen 3).
    """
    return processor.vectors() in _NATIVE


def computes_in(precision: str) -> bool:
    """Return whether it computes in a precision on this processor by instructions made for it."""
    if precision == "float32":
        return True
    if processor.vectors() not in _NATIVE or missing() is not None:
        return False
    return _HINTS[precision].upper() in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@cache
def _core() -> Any:
    return openvino().Core()


def open_model(
    graph: Path,
    *,
    overrides: Mapping[str, int] | None = None,
    precision: str = "float32",
    threads: int | None = None,
) -> "OpenVinoGraph":
    """Open `graph` with the dimensions named in `overrides` pinned: `batch`, `height`, `width`.

    `precision` is what products compute in: `float32`, `bfloat16`, or `int8` for a graph that was quantized.
    Raises `EngineFailure`.
    """
    return OpenVinoGraph(compiled(graph, overrides or {}, settings(precision, threads)), graph)


def settings(precision: str, threads: int | None = None) -> dict[str, str]:
    """Return the settings that a graph is compiled with: one stream, for calls come one at a time.

    Without `threads` OpenVINO chooses, among the processors that this process may use; it sees no quota.
    """
    threads = threads or processor.quota()
    if precision == "int8":
        precision = "bfloat16" if computes_in("bfloat16") else "float32"
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        **({"INFERENCE_NUM_THREADS": str(threads)} if threads else {}),
    }


def compiled(graph: Path, overrides: Mapping[str, int], chosen: Mapping[str, str]) -> Any:
    """OpenVINO's own form of the graph, with these settings. Raises `EngineFailure`."""
    try:
        model = _core().read_model(str(graph))
        model.reshape({item.any_name: _pinned(item, overrides) for item in model.inputs})
        return _core().compile_model(model, "CPU", dict(chosen))
    except Exception as error:  # openvino's errors share no narrower base
        raise EngineFailure(f"{graph}: does not open on engine 'openvino': {error}") from error


def _pinned(item: Any, overrides: Mapping[str, int]) -> Any:
    """Return an input's shape: rows first and, where it is latents [B, C, H, W], sides last."""
    shape = item.get_partial_shape()
    places = {"batch": 0, **({"height": 2, "width": 3} if len(shape) == 4 else {})}
    for name, place in places.items():
        if name in overrides and shape[place].is_dynamic:
            shape[place] = overrides[name]
    return shape


class OpenVinoGraph(Graph):
    """A graph that OpenVINO opened; one call at a time."""

    def __init__(self, compiled: Any, path: Path) -> None:
        names = ([item.any_name for item in items] for items in (compiled.inputs, compiled.outputs))
        super().__init__(path, *names)
        self._request = compiled.create_infer_request()

    def run(self, output: str, inputs: Mapping[str, Array]) -> Float32:
        """As `Graph.run`; inputs are read where they are."""
        self.home.check()
        try:
            results = self._request.infer(dict(inputs), share_inputs=True, share_outputs=True)
            found: Float32 = np.array(results[output])
        except Exception as error:  # openvino's errors share no narrower base
            raise EngineFailure(f"{self.path}: failed while running: {error}") from error
        return found
