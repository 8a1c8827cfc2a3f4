"""Runs a piece the way the engine that will serve runs a UNet: compiled for one shape, weights resident.

Refuses engines whose time cannot be told from the copies to and from their device.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from export import graph, plan, weights
from export.errors import ExportError, RefusedError, UsageError, nearest
from runtime.engines import providers
from runtime.engines.onnx import open_session

ENGINES = ("auto", "cpu", "openvino", "aoti")
PRECISIONS = ("float32", "fast")

Run = Callable[[], object]


class Engine(Protocol):
    """``name`` and ``precision`` as the profile will say them."""

    @property
    def name(self) -> str: ...

    @property
    def precision(self) -> str: ...

    def open(self, module: nn.Module, tensors: Sequence[Tensor], folder: Path) -> Run:
        """A call of ``module`` on ``tensors``. ``folder`` is empty, and must stay until the last call."""


def choose(name: str, precision: str, threads: int) -> Engine:
    """The engine called ``name``. Raises UsageError for an unknown one, RefusedError where this
    machine does not have it.
    """
    if name not in ENGINES:
        raise UsageError(f"--engine: {name!r} cannot be profiled; {nearest(name, ENGINES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision: unknown {precision!r}; {nearest(precision, PRECISIONS)}")
    if name == "aoti":
        return Aoti("bfloat16" if precision == "fast" else precision, threads)
    provider = providers.best_on_cpu() if name == "auto" else name
    if reason := providers.missing(provider):
        raise RefusedError(f"--engine {name}: {reason}; use cpu or auto")
    return Onnx(provider, precision, threads)


@dataclass(frozen=True)
class Onnx:
    """ONNX Runtime, from the same graph and weight files that a bundle serves."""

    provider: str
    precision: str
    threads: int

    @property
    def name(self) -> str:
        return plan.engine(self.provider)

    def open(self, module: nn.Module, tensors: Sequence[Tensor], folder: Path) -> Run:
        named = {f"input_{i}": tensor for i, tensor in enumerate(tensors)}
        graph.write_graph(module, graph.Signature(named, "output"), folder)
        weights.widen(folder / weights.WEIGHTS, folder / weights.SERVE_WEIGHTS)
        session = open_session(
            folder / weights.SERVE, self.provider, precision=self.precision, threads=self.threads
        )
        feeds = {name: named[name].numpy() for name in session.inputs}
        return lambda: session.run("output", feeds)


@dataclass(frozen=True)
class Aoti:
    """An AOTInductor package, on the GPU where torch has one; ``precision`` is the name of a dtype."""

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
            raise ExportError(f"AOTInductor cannot compile {type(module).__name__}: {error}") from error
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
