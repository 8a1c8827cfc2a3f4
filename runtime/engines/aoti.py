"""Packages of AOTInductor: a UNet that PyTorch compiled ahead of time, for this processor or GPU.

One package is an expert, or the supernet of all experts, which takes the gates of each row as well.

The only file of the runtime that imports torch, when a package is opened. A package is machine code: it is
opened after its hash was checked, and never chosen unless it was asked for.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.bundle.schema import Compiled
from runtime.engines.recorded import Recorded
from runtime.errors import EngineFailure, EnvironmentMismatch
from runtime.machine import fork, processor

Float32 = npt.NDArray[np.float32]


def open_package(path: Path, entry: Compiled, threads: int | None = None) -> "AotiEngine":
    """Load the package at `path`. `threads` of torch are the whole process's: None leaves them alone, unless
    a quota allows fewer.

    Raises `EnvironmentMismatch`, `EngineFailure`.
    """
    try:
        import torch
    except ImportError as error:
        raise EnvironmentMismatch(f"torch is not installed, and engine {entry.kind!r} needs it") from error
    threads = threads or processor.quota()
    if threads and entry.target["device"] == "cpu":
        torch.set_num_threads(threads)
    try:
        package = torch._inductor.aoti_load_package(str(path), run_single_threaded=True)
    except Exception as error:  # torch's loader raises whatever its C++ side does
        raise EngineFailure(f"{path}: does not open: {error}") from error
    device = entry.target["device"]
    return AotiEngine(torch, Recorded(torch, package) if device == "cuda" else package, path, device)


class AotiEngine:
    """A UNet in one package; inputs and outputs are float32, whatever it computes in."""

    def __init__(self, torch: Any, package: Any, path: Path, device: str) -> None:
        self._torch, self._package, self._path, self._device = torch, package, path, device
        fork.keep(self)
        self._kept: Mapping[str, Float32] = {}
        self._context: dict[str, Any] = {}

    def run(self, sample: Float32, time_embedding: Float32, conditioning: Mapping[str, Float32]) -> Float32:
        """As `Engine.run`."""
        try:
            inputs = {"sample": self._tensor(sample), "time_embedding": self._tensor(time_embedding)}
            output: Float32 = self._package(**inputs, **self._conditioned(conditioning)).cpu().numpy()
        except Exception as error:  # as when loading
            raise EngineFailure(f"{self._path}: failed while running: {error}") from error
        return output

    def _conditioned(self, conditioning: Mapping[str, Float32]) -> dict[str, Any]:
        """Return the conditioning as tensors, copied once for as long as the same arrays come."""
        if conditioning is not self._kept:
            self._context = {name: self._tensor(array) for name, array in conditioning.items()}
            self._kept = conditioning
        return self._context

    def _tensor(self, array: Float32) -> Any:
        # Machine code that reads packed arrays, and does not look whether they are.
        return self._torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
