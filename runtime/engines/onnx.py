"""Graphs on ONNX Runtime: opening sessions and running them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EngineFailure
from .providers import configure, in_use, onnxruntime

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]

_FATAL_AND_ERROR = 3


def open_session(
    graph: Path,
    provider: str,
    *,
    overrides: Mapping[str, int] | None = None,
    precision: str = "float32",
    threads: int | None = None,
) -> "Session":
    """Open `graph` on `provider` (of `PROVIDERS`) with the named dimensions pinned by `overrides`.

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
    try:
        session = ort.InferenceSession(str(graph), options, **configure(options, provider, precision))
    except Exception as error:  # onnxruntime's errors share no narrower base
        raise EngineFailure(f"{graph}: does not open on provider {provider!r}: {error}") from error
    if not in_use(session, provider):
        raise EngineFailure(f"{graph}: provider {provider!r} did not load; onnxruntime's warning says why")
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
