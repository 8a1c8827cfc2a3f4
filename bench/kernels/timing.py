"""Timing of GPU work in turns, as replays of CUDA graphs; every sample is kept.

A call of a few microseconds takes the CPU tens of them to submit: timed call by call, small shapes would
measure Python. So each work is captured many times over into one graph, and what the CPU takes is a number
of its own. Work comes with more than one set of inputs where one would stay in the GPU's cache.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

import torch
from triton.errors import TritonError

from bench.kernels.shapes import Ceiling
from runtime.timing.turns import take_rounds

Run = Callable[[], object]
Sampler = Callable[[], float]  # seconds per call
FAILURES = (RuntimeError, ValueError, NotImplementedError, TritonError)  # of one work; the others go on
SAMPLE, GRAPH = 2e-3, 1e-2  # seconds: a sample lasts at the least, a graph's calls take one by one
MOST_CALLS = 256  # in a graph
MATRIX, COPY = 8192, 2**30
DEVICE = "cuda"


@dataclass(frozen=True, slots=True)
class KernelWork:
    """A kind of work: `run` makes `calls`, each on inputs of its own."""

    run: Run
    calls: int = 1


@dataclass(slots=True)
class Timing:
    """Seconds of one kind of work.

    `first`: the first call, compilation included; `host`: the CPU's time to submit one call outside a graph;
    `samples`: the GPU's time per call, in turns with the others.
    """

    first: float
    host: float
    samples: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return median(self.samples)

    def ratios(self, other: "Timing") -> list[float]:
        """To samples that are neighbours in time, which saw the same clocks."""
        return [a / b for a, b in zip(self.samples, other.samples, strict=True)]


class Captures:
    """Graphs on one stream, whose temporary memory they share: they never run at once."""

    def __init__(self) -> None:
        torch.cuda.synchronize()  # inputs were made on another stream
        self._stream = torch.cuda.Stream()
        self._pool = torch.cuda.graph_pool_handle()

    def prepare(self, work: KernelWork) -> tuple[Timing, Sampler]:
        with torch.cuda.stream(self._stream):  # a backward pass runs where its forward pass ran
            first = _waited(work.run)
            once = min(_waited(work.run) for _ in range(2))
            start = time.perf_counter()
            work.run()
            host = (time.perf_counter() - start) / work.calls
        repeats = max(1, min(round(GRAPH / once), MOST_CALLS // work.calls))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            for _ in range(repeats):
                work.run()
        graph.replay()
        replays = max(1, round(SAMPLE / _elapsed(graph.replay, 1)))
        calls = repeats * work.calls
        return Timing(first, host), lambda: _elapsed(graph.replay, replays) / (replays * calls)


def in_turns(works: Mapping[str, KernelWork], rounds: int = 9) -> dict[str, Timing | str]:
    """Time each of `works` once per round, so that a slow moment hits all of them. What cannot run is a
    message instead of times.
    """
    captures = Captures()
    timed: dict[str, Timing | str] = {}
    samplers: dict[str, tuple[Timing, Sampler]] = {}
    for name, work in works.items():
        try:
            timed[name], _ = samplers[name] = captures.prepare(work)
        except FAILURES as error:
            timed[name] = (str(error).splitlines() or [type(error).__name__])[0][:100]
    samples = {name: found.samples for name, (found, _) in samplers.items()}
    take_rounds(samples, lambda name: [samplers[name][1]()], lambda done: done < rounds)
    return timed


def ceilings() -> Ceiling:
    """Measure this GPU's ceilings: a large bfloat16 product of random numbers, a large copy, and the smallest
    kernel.
    """
    a, b = (torch.randn(MATRIX, MATRIX, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    source = torch.empty(COPY, dtype=torch.uint8, device=DEVICE)
    target, one = torch.empty_like(source), torch.zeros(1, device=DEVICE)
    works: dict[str, Run] = {
        "product": lambda: a @ b,
        "copy": lambda: target.copy_(source),
        "nothing": lambda: one.add_(1),
    }
    seconds = {}
    for name, found in in_turns({name: KernelWork(run) for name, run in works.items()}).items():
        assert isinstance(found, Timing), found
        seconds[name] = found.seconds
    return Ceiling(
        2 * MATRIX**3 / seconds["product"],
        2 * COPY / seconds["copy"],
        seconds["nothing"],
        torch.cuda.get_device_properties(0).multi_processor_count,
    )


def _waited(run: Run) -> float:
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def _elapsed(run: Run, repeats: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        run()
    end.record()
    end.synchronize()
    milliseconds: float = start.elapsed_time(end)
    return milliseconds / 1e3
