"""A UNet call that several requests share: arrays made once, for as long as the same ones stay together."""

import time
from collections.abc import Sequence

import numpy as np

from runtime.diffusion.denoising import Request
from runtime.engines.engine import Engine
from runtime.errors import EngineFailure

SMALL = 10**9
TOGETHER = 8


def default_batch(macs: int) -> int:
    """How many requests share a call where nobody says: 8 below 10^9 `macs`, else 1.

    `macs` are those of one row at the default size, of the largest expert. On two cores, experts of 0.14 and
    0.23 billion make images 1.1, 1.3 and 1.4 to 1.5 times as fast with 2, 4 and 8 to a call; those
    of SD 2.1, a thousand times larger, gained 0 to 7 % with OpenVINO, which is not worth the waiting.
    """
    return TOGETHER if macs < SMALL else 1


class Batch:
    """A group of requests and the arrays of its UNet calls: while it stays, only latents are rewritten."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self.requests = requests
        rows = sum(request.rows for request in requests)
        self.sample = np.empty((rows, *requests[0].trajectory.latents.shape), np.float32)
        self.time_embedding = np.empty((rows, requests[0].time_embedding.shape[1]), np.float32)
        halves = [half for request in requests for half in request.halves]
        self.conditioning = {name: np.concatenate([half[name] for half in halves]) for name in halves[0]}

    def run(self, engine: Engine) -> None:
        """One UNet call, and the step after it for every request. Raises `EngineFailure`."""
        start = time.perf_counter()
        row = 0
        for request in self.requests:
            end = row + request.rows
            request.write_input(self.sample[row:end])
            self.time_embedding[row:end] = request.time_embedding[request.trajectory.position]
            row = end
        output = engine.run(self.sample, self.time_embedding, self.conditioning)
        if output.shape != self.sample.shape:
            raise EngineFailure(
                f"expert {self.requests[0].expert!r}: gave {output.shape} for {self.sample.shape}"
            )
        row = 0
        for request in self.requests:
            end = row + request.rows
            request.advance(output[row:end])
            row = end
        share = (time.perf_counter() - start) / len(self.requests)
        for request in self.requests:
            request.seconds += share
