"""Graphs on ONNX Runtime: opening sessions and running them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.engines.engine import Array, Float32, Graph
from runtime.engines.providers import configure, in_use, onnxruntime
from runtime.errors import EngineFailure
from runtime.machine import processor

# The lines of ONNX Runtime go to standard error past every log, and wait there for a reader. On the CPU they
# repeat what its exceptions say; of a GPU's provider that does not load they alone say why.
_FATAL, _FATAL_AND_ERROR = 4, 3


def open_session(
    graph: Path,
    provider: str,
    *,
    overrides: Mapping[str, int] | None = None,
    threads: int | None = None,
) -> "Session":
    """Open `graph` on `provider` (of `PROVIDERS`), in float32, with dimensions pinned by `overrides`.

    `threads` are those of a call (default: one for each core that this process may use). Raises
    `EngineFailure`.
    """
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL if provider == "cpu" else _FATAL_AND_ERROR
    options.inter_op_num_threads = 1
    # Its own choice is by the whole machine, and binds threads to cores that a container may not use.
    options.intra_op_num_threads = threads or processor.cores()
    # Threads that spin for a session's next call take the cores from the call of another session: experts in
    # turns took twice the time of one alone. They still spin inside a call.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    for name, size in (overrides or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    try:
        # Its own way out of a failure prints, and computes elsewhere than was asked for.
        session = ort.InferenceSession(str(graph), options, enable_fallback=0, **configure(options, provider))
    except Exception as error:  # onnxruntime's errors share no narrower base
        raise EngineFailure(f"{graph}: does not open on provider {provider!r}: {error}") from error
    if not in_use(session, provider):
        raise EngineFailure(f"{graph}: provider {provider!r} did not load; onnxruntime's warning says why")
    return Session(session, graph)


class Session(Graph):
    """A graph that ONNX Runtime opened."""

    def __init__(self, session: Any, path: Path) -> None:
        names = ([item.name for item in items] for items in (session.get_inputs(), session.get_outputs()))
        super().__init__(path, *names)
        self._session = session

    def run(self, output: str, inputs: Mapping[str, Array]) -> Float32:
        """As `Graph.run`."""
        return self.run_all([output], inputs)[0]

    def run_all(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Float32]:
        """Return several `outputs` of one run. Raises `EngineFailure`, `Forked`."""
        self.home.check()
        try:
            results: list[Float32] = self._session.run(list(outputs), inputs)
        except Exception as error:  # onnxruntime's errors share no narrower base
            raise EngineFailure(f"{self.path}: failed while running: {error}") from error
        return results

    def bind(self, output: str, kept: Mapping[str, Array]) -> Any:
        """Return a binding whose inputs `kept` lie on the first GPU already, and whose `output`
        comes back.
        """
        try:
            binding = self._session.io_binding()
            for name, array in kept.items():
                binding.bind_ortvalue_input(
                    name, onnxruntime().OrtValue.ortvalue_from_numpy(array, "cuda", 0)
                )
            binding.bind_output(output, "cpu")
        except Exception as error:  # onnxruntime's errors share no narrower base
            raise EngineFailure(f"{self.path}: its inputs cannot be put on the GPU: {error}") from error
        return binding

    def run_bound(self, binding: Any, inputs: Mapping[str, Array]) -> Float32:
        """Return the output of a binding for `inputs`, which are those it does not keep. Raises
        `EngineFailure`, `Forked`.
        """
        self.home.check()
        try:
            for name, array in inputs.items():
                binding.bind_cpu_input(name, array)
            self._session.run_with_iobinding(binding)
            result: Float32 = binding.copy_outputs_to_cpu()[0]
        except Exception as error:  # onnxruntime's errors share no narrower base
            raise EngineFailure(f"{self.path}: failed while running: {error}") from error
        return result


class BoundEngine:
    """An expert's UNet in one session on a GPU.

    Conditioning is copied there once for all steps in which it is the same. Latents cross the bus at every
    step: their schedule is computed on the CPU in every language alike, and 64 KiB, those of a 512 px
    image with four channels in float32, take microseconds beside milliseconds of UNet.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._kept: Mapping[str, Float32] | None = None
        self._binding: Any = None

    def run(self, sample: Float32, time_embedding: Float32, conditioning: Mapping[str, Float32]) -> Float32:
        """As `Engine.run`."""
        if self._binding is None or conditioning is not self._kept:
            self._binding = self._session.bind("out_sample", conditioning)
            self._kept = conditioning
        return self._session.run_bound(self._binding, {"sample": sample, "time_embedding": time_embedding})
