"""The interface that the scheduler asks of anything that runs an expert's UNet, and the runtime of any opened
graph.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from runtime.errors import EngineFailure
from runtime.machine import fork

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]


class Engine(Protocol):
    """Runs one expert, or for a supernet all of them: each row follows its own `gates` [G].

    The scheduler writes to `sample` and `time_embedding` again: an engine must not keep them. Conditioning is
    not written to once it was given, so what an engine made of it holds while the same arrays come again.
    """

    def run(self, sample: Float32, time_embedding: Float32, conditioning: Mapping[str, Float32]) -> Float32:
        """Predict [B, C, H, W] from `sample` [B, C, H, W], `time_embedding` [B, E] and inputs [B, …].

        Raises `EngineFailure`.
        """
        ...


class Graph(ABC):
    """An opened graph of the bundle, whatever runs it; `inputs` and `outputs` are its tensors' names.

    It has threads, and so is of the process that opened it.
    """

    def __init__(self, path: Path, inputs: Iterable[str], outputs: Iterable[str]) -> None:
        self.path, self.inputs, self.outputs = path, tuple(inputs), tuple(outputs)
        self.home = fork.Home()
        fork.keep(self)

    def require(self, inputs: Sequence[str], output: str) -> None:
        """Refuse a graph with other inputs than `inputs`, or without `output`. Raises `EngineFailure`."""
        if set(self.inputs) != set(inputs) or output not in self.outputs:
            raise EngineFailure(
                f"{self.path}: takes {sorted(self.inputs)} and gives {sorted(self.outputs)}, and the "
                f"manifest says {sorted(inputs)} and {output!r}; build the bundle again"
            )

    @abstractmethod
    def run(self, output: str, inputs: Mapping[str, Array]) -> Float32:
        """Return the tensor `output` for `inputs`. Raises `EngineFailure`, `Forked`."""


class GraphEngine:
    """An expert's UNet in one graph whose tensors lie in this machine's memory."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def run(self, sample: Float32, time_embedding: Float32, conditioning: Mapping[str, Float32]) -> Float32:
        """As `Engine.run`."""
        inputs = {"sample": sample, "time_embedding": time_embedding, **conditioning}
        return self._graph.run("out_sample", inputs)
