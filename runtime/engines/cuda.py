"""A GPU for engines that bring their own kernels: its stream, memory that both sides see, and recorded work.

Through cuda.core, NVIDIA's own face of CUDA for Python: released, versioned semantically since 1.0, and with
neither torch nor a toolkit behind it. Everything runs on one stream, in the order in which it was asked for.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.errors import EnvironmentMismatch

Float32 = npt.NDArray[np.float32]


@cache
def gpu() -> "Gpu":
    """Return the first GPU, one for the whole process: its engines share. Raises `EnvironmentMismatch`."""
    try:
        from cuda import core
    except ImportError as error:
        raise EnvironmentMismatch(
            "cuda-core is not installed, and engine 'tensorrt' needs it; install `aptp[tensorrt]`"
        ) from error
    try:
        return Gpu(core)
    except Exception as error:  # cuda.core's errors share no narrower base
        raise EnvironmentMismatch(f"the GPU does not open: {error}; look at `nvidia-smi`") from error


class Gpu:
    """A device, its `stream`, and the one scratch memory of all engines that run on it."""

    def __init__(self, core: Any) -> None:
        self._device = core.Device(0)
        self._device.set_current()
        self._pinned = core.LegacyPinnedMemoryResource()
        self._scratch: Any = None
        self.stream = self._device.create_stream()

    def use(self) -> None:
        """Make this the calling thread's device, which CUDA remembers per thread."""
        self._device.set_current()

    def array(self, shape: Sequence[int]) -> "Mirrored":
        """float32 memory of a shape, on both sides."""
        size = 4 * int(np.prod(shape))
        host = self._pinned.allocate(size)
        return Mirrored(host, self._device.allocate(size, stream=self.stream), shape)

    def scratch(self, size: int) -> Any:
        """At least `size` bytes that are anyone's until the stream's next work: engines run one at a time.

        Asking for more than there is gives up what there was, and what was recorded over it with it: compare
        what is returned with what a recording was made over.
        """
        if self._scratch is None or self._scratch.size < size:
            if self._scratch is not None:
                self._scratch.close(self.stream)
            self._scratch = self._device.allocate(size, stream=self.stream)
        return self._scratch

    def record(self, work: Callable[[Any], None]) -> Any:
        """Record what `work` asks of the stream it is given, as one graph to `launch`; nothing of it runs
        now.
        """
        builder = self._device.create_graph_builder()
        try:
            builder.begin_building("thread_local")
            try:
                work(builder)
            finally:
                builder.end_building()
            graph = builder.complete()
        finally:
            builder.close()
        graph.upload(self.stream)
        return graph


class Mirrored:
    """One array in two places: `values` in pinned memory, which the GPU can read by itself, and at
    `address`.
    """

    def __init__(self, host: Any, device: Any, shape: Sequence[int]) -> None:
        self._host, self._device = host, device
        self.values: Float32 = np.from_dlpack(host).view(np.float32).reshape(shape)

    @property
    def address(self) -> int:
        """Where it lies on the device."""
        return int(self._device.handle)

    def upload(self, stream: Any) -> None:
        """Copy `values` to the device, on `stream` or into what is being recorded."""
        self._device.copy_from(self._host, stream=stream)

    def download(self, stream: Any) -> None:
        """Copy from the device into `values`."""
        self._device.copy_to(self._host, stream=stream)
