import time

import pytest

from bench.kernels import timing
from bench.kernels.timing import KernelWork, Sampler, Timing


class OnTheSpot:
    """Stands in for CUDA graphs: runs the work there and then."""

    def prepare(self, work: KernelWork) -> tuple[Timing, Sampler]:
        def sample() -> float:
            start = time.perf_counter()
            work.run()
            return (time.perf_counter() - start) / work.calls

        return Timing(first=sample(), host=1e-6), sample


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness on CPU tensors: what it does, not how long that takes."""
    monkeypatch.setattr(timing, "DEVICE", "cpu")
    monkeypatch.setattr(timing, "Captures", OnTheSpot)
