"""Plans of TensorRT: a UNet that NVIDIA's builder compiled for one GPU, one release and a range of sizes.

A plan is machine code: it is opened after its hash was checked, and only on the machine it names
(`runtime.engines.target`). Written against the documented interface of TensorRT 10.13 and 11: no plan has
been built or opened on a GPU yet, and what the tests show, they show with a stand-in for the `tensorrt`
module.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.bundle.schema import Compiled
from runtime.engines.cuda import Gpu, Mirrored, gpu
from runtime.errors import EngineFailure, EnvironmentMismatch
from runtime.machine import fork

Float32 = npt.NDArray[np.float32]

_OUTPUT = "out_sample"
# Batches and sizes that stay recorded, the least recently used given up first.
_RECORDED = 16


@cache
def tensorrt() -> Any:
    """Return the tensorrt module. Raises `EnvironmentMismatch` where it is not installed."""
    try:
        import tensorrt
    except ImportError as error:
        raise EnvironmentMismatch("tensorrt is not installed; install `aptp[tensorrt]`") from error
    return tensorrt


def missing() -> str | None:
    """Return why no plan can be opened here, whatever it was built for, or None if one can."""
    for module in ("tensorrt", "cuda.core"):
        try:
            found = find_spec(module)
        except ModuleNotFoundError:  # not even the package that it would be in
            found = None
        if found is None:
            return f"{module} is not installed (it comes with `aptp[tensorrt]`)"
    return None


def open_plan(path: Path, entry: Compiled, threads: int | None = None) -> "TensorRtEngine":
    """Load the plan at `path`; `threads` are the processor's, and of no concern to a GPU.

    Raises `EnvironmentMismatch`, `EngineFailure`.
    """
    log = _log()
    runtime = tensorrt().Runtime(log)
    plan = runtime.deserialize_cuda_engine(path.read_bytes())
    if plan is None:
        raise EngineFailure(
            f"{path}: does not open ({log.last()}); build it on this machine with "
            "`python -m export.build --codes all --engines tensorrt`"
        )
    return TensorRtEngine(plan, runtime, gpu(), path, log)


class TensorRtEngine:
    """An expert's UNet in one plan, recorded once for every batch and size that it is asked for."""

    def __init__(self, plan: Any, runtime: Any, device: Gpu, path: Path, log: Any) -> None:
        self._plan, self._gpu, self._path, self._log = plan, device, path, log
        self._runtime = runtime  # which has to outlive its plans
        fork.keep(self)
        self._calls: OrderedDict[tuple[int, ...], _Call] = OrderedDict()

    def run(self, sample: Float32, time_embedding: Float32, conditioning: Mapping[str, Float32]) -> Float32:
        """As `Engine.run`."""
        try:
            self._gpu.use()
            return self._call(sample, time_embedding, conditioning).run(sample, time_embedding, conditioning)
        except EngineFailure:
            raise
        except Exception as error:  # cuda.core's errors share no narrower base
            raise EngineFailure(f"{self._path}: failed while running: {error}") from error

    def _call(self, sample: Float32, time_embedding: Float32, conditioning: Mapping[str, Float32]) -> "_Call":
        if sample.shape not in self._calls:
            shapes = {"sample": sample.shape, "time_embedding": time_embedding.shape}
            shapes |= {name: array.shape for name, array in conditioning.items()}
            self._calls[sample.shape] = _Call(self._context(shapes), self._gpu, shapes, self._refused)
            if len(self._calls) > _RECORDED:
                self._calls.popitem(last=False)
        self._calls.move_to_end(sample.shape)
        return self._calls[sample.shape]

    def _context(self, shapes: Mapping[str, tuple[int, ...]]) -> Any:
        """Return a context for these shapes alone: what is recorded through one holds for the shapes it had
        then.
        """
        shared = tensorrt().ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._plan.create_execution_context(shared)
        if context is None:
            raise self._refused("gives no execution context")
        for name, shape in shapes.items():
            if not context.set_input_shape(name, shape):
                raise self._refused(f"does not take {name!r} of shape {tuple(shape)}")
        if unset := context.infer_shapes():
            raise self._refused(f"needs inputs that it was not given: {', '.join(unset)}")
        return context

    def _refused(self, what: str) -> EngineFailure:
        return EngineFailure(f"{self._path}: {what} ({self._log.last()})")


class _Call:
    """One batch and size: its arrays, and the call itself as a recorded graph."""

    def __init__(
        self,
        context: Any,
        device: Gpu,
        shapes: Mapping[str, tuple[int, ...]],
        refused: Callable[[str], EngineFailure],
    ) -> None:
        self._context, self._gpu, self._refused = context, device, refused
        self._inputs = {name: device.array(shape) for name, shape in shapes.items()}
        self._output = device.array(tuple(context.get_tensor_shape(_OUTPUT)))
        for name, array in (*self._inputs.items(), (_OUTPUT, self._output)):
            if not context.set_tensor_address(name, array.address):
                raise refused(f"has no tensor {name!r}")
        self._kept: Mapping[str, Float32] | None = None
        self._over: Any = None
        self._graph: Any = None

    def run(self, sample: Float32, time_embedding: Float32, conditioning: Mapping[str, Float32]) -> Float32:
        self._fill("sample", sample)
        self._fill("time_embedding", time_embedding)
        if conditioning is not self._kept:
            self._condition(conditioning)
        scratch = self._gpu.scratch(self._context.engine.device_memory_size_v2)
        if scratch is not self._over:
            self._record(scratch)
        self._graph.launch(self._gpu.stream)
        self._gpu.stream.sync()
        return self._output.values.copy()

    def _fill(self, name: str, values: Float32) -> Mirrored:
        array = self._inputs[name]
        np.copyto(array.values, values)
        return array

    def _condition(self, conditioning: Mapping[str, Float32]) -> None:
        """Bring the prompts over, which is done once for as long as the same arrays come."""
        for name, values in conditioning.items():
            self._fill(name, values).upload(self._gpu.stream)
        self._kept = conditioning

    def _record(self, scratch: Any) -> None:
        """Record the call over `scratch`, once it ran: a first call prepares what may not be recorded."""
        self._context.set_device_memory(int(scratch.handle), scratch.size)
        self._enqueue(self._gpu.stream)
        self._gpu.stream.sync()
        self._graph = self._gpu.record(self._whole)
        self._over = scratch

    def _whole(self, stream: Any) -> None:
        self._inputs["sample"].upload(stream)
        self._inputs["time_embedding"].upload(stream)
        self._enqueue(stream)
        self._output.download(stream)

    def _enqueue(self, stream: Any) -> None:
        # The handle of a stream, or of the one that records: both speak CUDA's stream protocol.
        if not self._context.execute_async_v3(stream.__cuda_stream__()[1]):
            raise self._refused("does not take the call")


@cache
def _log() -> Any:
    """TensorRT's logger for this process, keeping the last error: its functions return no more than None."""
    trt = tensorrt()

    class Log(trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._last = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.Logger.ERROR, trt.Logger.INTERNAL_ERROR):
                self._last = message

        def last(self) -> str:
            return self._last or "TensorRT gave no reason"

    return Log()
