"""How much work was done: by every expert, and of every kind."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from runtime.service.denoising import Denoising

UNET, OPENING, ROUTING = "in the UNet", "opening engines", "routing"
ENCODING, DECODING = "encoding", "decoding"
KINDS = (UNET, OPENING, ROUTING, ENCODING, DECODING)


@dataclass(slots=True)
class ExpertWork:
    """One expert's images, and its UNet calls: how many, their rows, and their seconds."""

    images: int = 0
    calls: int = 0
    rows: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class WorkStats:
    """Every expert's work, and the seconds of each kind of work, some of which may go on at the same time.

    `last_call` is the latest call's expert, and how many requests shared it.
    """

    clock: Callable[[], float] = time.perf_counter
    experts: defaultdict[str, ExpertWork] = field(default_factory=lambda: defaultdict(ExpertWork))
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))
    last_call: tuple[str, int] | None = None

    @contextmanager
    def timing(self, kind: str) -> Iterator[None]:
        """Count the seconds inside as work of a kind."""
        start = self.clock()
        try:
            yield
        finally:
            self.seconds[kind] += self.clock() - start

    def called(self, images: Sequence[Denoising], seconds: float) -> None:
        """Note a UNet call that `images` shared."""
        for expert in {image.expert for image in images}:
            self.experts[expert].calls += 1
        for image in images:
            self.experts[image.expert].rows += image.rows
            self.experts[image.expert].seconds += seconds / len(images)
        self.last_call = images[0].expert, len(images)
