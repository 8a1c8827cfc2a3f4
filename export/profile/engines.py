"""Engines that run a piece as they run a UNet when serving: compiled for one shape, weights resident.

Refuses engines whose time cannot be told from the copies to and from their device.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from export.graphs import graph, weights
from runtime.engines import openvino
from runtime.engines.engine import Graph
from runtime.engines.precision import PRECISIONS
from runtime.engines.session import open_session
from runtime.errors import BuilderError, Refused, UsageError, nearest

ENGINES = ("auto", "cpu", "openvino", "aoti")

Run = Callable[[], object]


class PieceEngine(Protocol):
    """An engine for pieces; `name` and `precision` are those that the profile records."""

    @property
    def name(self) -> str: ...

    @property
    def precision(self) -> str: ...

    def open(self, module: nn.Module, tensors: Sequence[Tensor], folder: Path) -> Run:
        """Return a call of `module` on `tensors`. `folder` is empty, and must stay until the last call."""


def choose(name: str, precision: str, threads: int) -> PieceEngine:
    """Choose the engine called `name`. Raises UsageError for an unknown one, Refused where this machine does
    not have it.
    """
    if name not in ENGINES:
        raise UsageError(
            f"--engine: {name!r} cannot be profiled{nearest(name, ENGINES)}; known: {', '.join(ENGINES)}"
        )
    if precision not in PRECISIONS:
        raise UsageError(
            f"--precision: unknown {precision!r}{nearest(precision, PRECISIONS)}; "
            f"known: {', '.join(PRECISIONS)}"
        )
    if name == "aoti":
        return Aoti(precision, threads)
    reason = openvino.missing()
    if name == "cpu" or (name == "auto" and reason):
        if precision != "float32":
            raise Refused(f"--precision {precision}: engine cpu computes in float32; use openvino or aoti")
        return OnnxRuntime(threads)
    if reason:
        raise Refused(f"--engine {name}: {reason}; use cpu or auto")
    if not openvino.computes_in(precision):
        raise Refused(f"--precision {precision}: this processor does not compute in it; use float32")
    return OpenVino(precision, threads)


@dataclass(frozen=True, slots=True)
class OnnxRuntime:
    """ONNX Runtime's CPU provider, on the graph and weight files that a bundle serves."""

    threads: int
    precision: str = "float32"

    @property
    def name(self) -> str:
        return f"cpu (onnxruntime {version('onnxruntime')})"

    def open(self, module: nn.Module, tensors: Sequence[Tensor], folder: Path) -> Run:
        return _running(
            lambda serving: open_session(serving, "cpu", threads=self.threads), module, tensors, folder
        )


@dataclass(frozen=True, slots=True)
class OpenVino:
    """OpenVINO, on the same files."""

    precision: str
    threads: int

    @property
    def name(self) -> str:
        return f"openvino ({version('openvino')})"

    def open(self, module: nn.Module, tensors: Sequence[Tensor], folder: Path) -> Run:
        def opener(serving: Path) -> Graph:
            return openvino.open_model(serving, precision=self.precision, threads=self.threads)

        return _running(opener, module, tensors, folder)


def _running(
    opener: Callable[[Path], Graph], module: nn.Module, tensors: Sequence[Tensor], folder: Path
) -> Run:
    named = {f"input_{i}": tensor for i, tensor in enumerate(tensors)}
    graph.write_graph(module, graph.Signature(named, "output"), folder)
    weights.widen(folder / weights.WEIGHTS, folder / weights.SERVE_WEIGHTS)
    opened = opener(folder / weights.SERVE)
    feeds = {name: named[name].numpy() for name in opened.inputs}
    return lambda: opened.run("output", feeds)


@dataclass(frozen=True, slots=True)
class Aoti:
    """An AOTInductor package, on the GPU where torch has one; `precision` is the name of a dtype."""

    precision: str
    threads: int

    @property
    def name(self) -> str:
        return f"aoti on {self._device()} (torch {version('torch')})"

    def open(self, module: nn.Module, tensors: Sequence[Tensor], folder: Path) -> Run:
        from torch._inductor import aoti_compile_and_package, aoti_load_package

        torch.set_num_threads(self.threads)
        dtype: torch.dtype = getattr(torch, self.precision)
        module = module.to(self._device(), dtype)
        placed = [tensor.to(self._device(), dtype) for tensor in tensors]
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch about its own internals
                program = torch.export.export(module, tuple(placed))
                package = aoti_compile_and_package(program, package_path=str(folder / "model.pt2"))
                model: Any = aoti_load_package(package, run_single_threaded=True)
        except Exception as error:  # torch's compilers raise whatever their parts do
            raise BuilderError(f"AOTInductor cannot compile {type(module).__name__}: {error}") from error
        return lambda: self._finished(model, placed)

    def _finished(self, model: Any, tensors: Sequence[Tensor]) -> object:
        with torch.no_grad():
            output = model(*tensors)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return output

    @staticmethod
    def _device() -> str:
        return "cuda" if torch.cuda.is_available() else "cpu"
