"""Recording a package's calls, with a stand-in for torch's CUDA graphs that replays by calling again."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from runtime.engines import recorded
from runtime.engines.recorded import Recorded


class Graph:
    recording: "Graph | None" = None

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def replay(self) -> None:
        for call in self.calls:
            call()


@contextmanager
def record(graph: Graph) -> Iterator[None]:
    Graph.recording = graph
    yield
    Graph.recording = None


@contextmanager
def stream(_: Any) -> Iterator[None]:
    yield


NEVER = SimpleNamespace(wait_stream=lambda other: None)
CUDA = SimpleNamespace(
    CUDAGraph=Graph, graph=record, stream=stream, Stream=lambda: NEVER, current_stream=lambda: NEVER
)


class Package:
    """Adds its inputs; what is recorded writes into the tensor that the recorded call returned."""

    def __init__(self) -> None:
        self.recorded: list[tuple[int, ...]] = []

    def __call__(self, sample: Tensor, context: Tensor) -> Tensor:
        output = sample + context
        if Graph.recording is not None:
            self.recorded.append(tuple(sample.shape))
            Graph.recording.calls.append(lambda: torch.add(sample, context, out=output))
        return output


@pytest.fixture
def package() -> Package:
    return Package()


@pytest.fixture
def call(package: Package) -> Recorded:
    return Recorded(SimpleNamespace(cuda=CUDA), package)


def test_new_inputs_reach_what_was_recorded(call: Recorded, package: Package) -> None:
    context = torch.full((2, 3), 10.0)
    for value in (1.0, 2.0):
        assert call(sample=torch.full((2, 3), value), context=context).eq(10 + value).all()
    assert call(sample=torch.zeros(2, 3), context=torch.ones(2, 3)).eq(1).all()
    assert package.recorded == [(2, 3)]


def test_inputs_of_the_caller_stay_its_own(call: Recorded) -> None:
    first, context = torch.zeros(1, 3), torch.zeros(1, 3)
    call(sample=first, context=context)
    call(sample=torch.ones(1, 3), context=torch.ones(1, 3))
    assert first.eq(0).all()
    assert context.eq(0).all()


def test_shapes_are_recorded_one_by_one_and_the_oldest_is_given_up(
    call: Recorded, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "_RECORDED", 2)
    for rows in (1, 2, 1, 3, 1, 2):  # 3 gives up 2, which was used before 1
        call(sample=torch.zeros(rows, 3), context=torch.zeros(rows, 3))
    assert package.recorded == [(1, 3), (2, 3), (3, 3), (2, 3)]
