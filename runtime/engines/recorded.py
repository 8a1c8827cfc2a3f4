"""Calls of a torch package on a GPU, each recorded once as a CUDA graph and then replayed.

A small UNet is hundreds of kernels of a few microseconds: launched one by one, the processor is what they
wait for. Written without a GPU at hand; `tests/gpu` shows it on one.
"""

from collections import OrderedDict
from typing import Any

# Batches and sizes that stay recorded, the least recently used given up first.
_RECORDED = 16
# What a first call prepares (workspaces, lazily loaded kernels) may not happen while one is recorded.
_WARM_UP = 3


class Recorded:
    """`package` with the same call; what is returned is overwritten by the next call of that shape."""

    def __init__(self, torch: Any, package: Any) -> None:
        self._torch, self._package = torch, package
        self._calls: OrderedDict[tuple[int, ...], _Call] = OrderedDict()

    def __call__(self, **inputs: Any) -> Any:
        shape = tuple(inputs["sample"].shape)
        if shape not in self._calls:
            self._calls[shape] = _Call(self._torch, self._package, inputs)
            if len(self._calls) > _RECORDED:
                self._calls.popitem(last=False)
        self._calls.move_to_end(shape)
        return self._calls[shape].run(inputs)


class _Call:
    """One batch and size: where its inputs have to lie, and its graph."""

    def __init__(self, torch: Any, package: Any, inputs: dict[str, Any]) -> None:
        self._inputs = {name: tensor.clone() for name, tensor in inputs.items()}
        self._copied = dict(inputs)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP):
                package(**self._inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = package(**self._inputs)

    def run(self, inputs: dict[str, Any]) -> Any:
        for name, tensor in inputs.items():
            if tensor is not self._copied[name]:  # a prompt's tensors stay the same over its steps
                self._inputs[name].copy_(tensor)
                self._copied[name] = tensor
        self._graph.replay()
        return self._output
