"""Batching at the step: which requests share the next UNet call.

Pure logic over arrays made once; engines are handed in. Requests join and leave between any two calls.
"""

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .engines.engine import Engine
from .errors import EngineFailure, RuntimeFailure
from .request import Request

Float32 = npt.NDArray[np.float32]

EngineFor = Callable[[str, int, int, int], Engine]  # expert, rows, height, width


SMALL = 10**9
TOGETHER = 8


def default_batch(macs: int) -> int:
    """How many requests share a call where nobody says: 8 below 10^9 `macs`, else 1.

    `macs` are those of one row at the default size, of the largest expert. On two cores, experts of 0.14 and
    0.23 billion make images 1.1, 1.3 and 1.4 to 1.5 times as fast with 2, 4 and 8 to a call; those
    of SD 2.1, a thousand times larger, gained 0 to 7 % with OpenVINO, which is not worth the waiting.
    """
    return TOGETHER if macs < SMALL else 1


class Call:
    """A group of requests and the arrays of its UNet calls: while it stays, only latents are rewritten."""

    def __init__(self, requests: list[Request]) -> None:
        self.requests = requests
        rows = sum(request.rows for request in requests)
        self.sample = np.empty((rows, *requests[0].trajectory.latents.shape), np.float32)
        self.timestep = np.empty(rows, np.float32)
        halves = [half for request in requests for half in request.halves]
        self.conditioning = {name: np.concatenate([half[name] for half in halves]) for name in halves[0]}

    def run(self, engine: Engine) -> None:
        """One UNet call, and the step after it for every request."""
        row = 0
        for request in self.requests:
            end = row + request.rows
            request.write_input(self.sample[row:end])
            self.timestep[row:end] = request.trajectory.row.timestep
            row = end
        output = engine.run(self.sample, self.timestep, self.conditioning)
        if output.shape != self.sample.shape:
            raise EngineFailure(
                f"expert {self.requests[0].expert!r}: gave {output.shape} for {self.sample.shape}"
            )
        row = 0
        for request in self.requests:
            end = row + request.rows
            request.advance(output[row:end])
            row = end


class Batcher:
    """The running requests, oldest first; `batch` is how many may share a call."""

    def __init__(self, engine_for: EngineFor, batch: int = 1) -> None:
        self._engine_for, self.batch = engine_for, batch
        self._running: list[Request] = []
        self._call: Call | None = None

    def __len__(self) -> int:
        return len(self._running)

    def submit(self, request: Request) -> None:
        """Let a request take part from the next tick on."""
        self._running.append(request)

    def tick(self) -> list[Request]:
        """One UNet call for the oldest request and those that fit with it; gives the requests it was for.

        Each has advanced by a step, or the call failed and has ended them all. Who has ended has left.
        """
        group = self._group()
        try:
            self._advance(group)
        except RuntimeFailure as failure:
            for request in group:
                request.failure = failure
        for request in group:
            if request.ended:
                self._running.remove(request)
        return group

    def _advance(self, group: list[Request]) -> None:
        if self._call is None or self._call.requests != group:
            self._call = Call(group)
        rows, _, height, width = self._call.sample.shape
        engine = self._engine_for(group[0].expert, rows, height, width)
        start = time.perf_counter()  # after the engine is there: opening it is not the image's time
        self._call.run(engine)
        share = (time.perf_counter() - start) / len(group)
        for request in group:
            request.seconds += share

    def _group(self) -> list[Request]:
        oldest = self._running[0]
        expert, shape = oldest.expert, oldest.trajectory.latents.shape
        group = []
        for request in self._running:
            if request.expert == expert and request.trajectory.latents.shape == shape:
                group.append(request)
                if len(group) == self.batch:
                    break
        return group
