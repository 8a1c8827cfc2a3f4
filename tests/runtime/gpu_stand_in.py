"""Stand-ins for `cuda.core` and the runtime half of `tensorrt`, as documented: memory by address, one stream.

They show that work is asked for in the right order, over the right memory; of speed and of capture's own
rules they know nothing.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Work = Callable[[], None]


class Buffer:
    """Memory, on the host or the device; `handle` is where it lies."""

    def __init__(self, machine: "Machine", size: int) -> None:
        self.size, self.handle, self.closed = size, 256 * (len(machine.memory) + 1), False
        self.data = np.zeros(size, np.int8)
        machine.memory[self.handle] = self
        self._machine = machine

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def copy_from(self, source: "Buffer", *, stream: Any) -> None:
        self._machine.copies.append((source, self))
        stream.ask(lambda: np.copyto(self.data, source.data))

    def copy_to(self, target: "Buffer", *, stream: Any) -> None:
        target.copy_from(self, stream=stream)

    def close(self, stream: Any) -> None:
        self.closed = True


class Stream:
    """Runs what it is asked for at once."""

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, 1

    def ask(self, work: Work) -> None:
        work()

    def sync(self) -> None:
        pass


class Builder:
    """Records what it is asked for."""

    def __init__(self, machine: "Machine") -> None:
        self._machine, self._work, self.building = machine, list[Work](), False

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, 2

    def ask(self, work: Work) -> None:
        assert self.building
        self._work.append(work)

    def begin_building(self, mode: str) -> None:
        self.building, self._machine.recording = True, self

    def end_building(self) -> None:
        self.building, self._machine.recording = False, None

    def complete(self) -> "Graph":
        self._machine.graphs.append(Graph(self._work))
        return self._machine.graphs[-1]

    def close(self) -> None:
        pass


class Graph:
    def __init__(self, work: list[Work]) -> None:
        self._work, self.launches = work, 0

    def upload(self, stream: Stream) -> None:
        pass

    def launch(self, stream: Stream) -> None:
        self.launches += 1
        for work in self._work:
            work()


class Machine:
    """The module `cuda.core`, and everything that was made with it."""

    def __init__(self) -> None:
        self.memory: dict[int, Buffer] = {}
        self.copies: list[tuple[Buffer, Buffer]] = []
        self.graphs: list[Graph] = []
        self.recording: Builder | None = None
        self.stream = Stream()

    def Device(self, index: int) -> "Machine":
        return self

    def set_current(self) -> None:
        pass

    def create_stream(self) -> Stream:
        return self.stream

    def create_graph_builder(self) -> Builder:
        return Builder(self)

    def LegacyPinnedMemoryResource(self) -> "Machine":
        return self

    def allocate(self, size: int, *, stream: Any = None) -> Buffer:
        return Buffer(self, size)

    def floats(self, address: int, shape: tuple[int, ...]) -> Any:
        return self.memory[address].data.view(np.float32).reshape(shape)


class Context:
    """Computes sample · (1 + the mean of the time embedding) + the mean of the conditioning.

    All of it at the addresses it was given.
    """

    def __init__(self, engine: "Plan") -> None:
        self.engine, self.shapes, self.addresses = engine, dict[str, tuple[int, ...]](), dict[str, int]()
        self.scratch = (0, 0)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = tuple(shape)
        return name != "sample" or shape[0] <= self.engine.most

    def infer_shapes(self) -> list[str]:
        return sorted(self.engine.inputs - self.shapes.keys())

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes["sample"]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def set_device_memory(self, memory: int, size: int) -> None:
        self.scratch = (memory, size)

    def execute_async_v3(self, handle: int) -> bool:
        machine = self.engine.machine
        address, size = self.scratch
        assert size >= self.engine.device_memory_size_v2
        assert not machine.memory[address].closed
        stream = machine.recording if handle == 2 else machine.stream
        assert stream is not None
        stream.ask(self._compute)
        return not self.engine.tired

    def _compute(self) -> None:
        view = {
            name: self.engine.machine.floats(self.addresses[name], shape)
            for name, shape in self.shapes.items()
        }
        output = self.engine.machine.floats(self.addresses["out_sample"], self.shapes["sample"])
        scale = 1 + view["time_embedding"].mean(1)[:, None, None, None]
        output[:] = view["sample"] * scale + view["encoder_hidden_states"].mean((1, 2))[:, None, None, None]


class Plan:
    """A plan that takes up to `most` rows; `tired` makes it refuse to run."""

    inputs = frozenset({"sample", "time_embedding", "encoder_hidden_states"})

    def __init__(self, machine: Machine, device_memory_size_v2: int = 1024, most: int = 16) -> None:
        self.machine, self.device_memory_size_v2, self.most = machine, device_memory_size_v2, most
        self.contexts: list[Context] = []
        self.tired = False

    def create_execution_context(self, strategy: str) -> Context:
        assert strategy == "user managed"
        self.contexts.append(Context(self))
        return self.contexts[-1]
