"""A UNet call that several requests share: arrays made once, for as long as the same ones stay together."""

import time
from collections.abc import Sequence

import numpy as np

from runtime.engines.engine import Engine
from runtime.errors import EngineFailure
from runtime.service.denoising import Denoising


class Batch:
    """Images that share UNet calls, and the arrays of these: while they stay, only latents are rewritten."""

    def __init__(self, images: Sequence[Denoising]) -> None:
        self.images = images
        rows = sum(image.rows for image in images)
        self.sample = np.empty((rows, *images[0].trajectory.latents.shape), np.float32)
        self.time_embedding = np.empty((rows, images[0].time_embedding.shape[1]), np.float32)
        halves = [half for image in images for half in image.halves]
        self.conditioning = {name: np.concatenate([half[name] for half in halves]) for name in halves[0]}

    def run(self, engine: Engine) -> None:
        """Make one UNet call, and take the step after it for every image. Raises `EngineFailure`."""
        start = time.perf_counter()
        row = 0
        for image in self.images:
            end = row + image.rows
            image.write_input(self.sample[row:end])
            self.time_embedding[row:end] = image.time_embedding[image.trajectory.position]
            row = end
        output = engine.run(self.sample, self.time_embedding, self.conditioning)
        if output.shape != self.sample.shape:
            raise EngineFailure(
                f"expert {self.images[0].expert!r}: gave {output.shape} for {self.sample.shape}"
            )
        row = 0
        for image in self.images:
            end = row + image.rows
            image.advance(output[row:end])
            row = end
        share = (time.perf_counter() - start) / len(self.images)
        for image in self.images:
            image.seconds += share
