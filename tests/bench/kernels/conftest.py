import time

import pytest
import torch

from bench.kernels import timing


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness on CPU tensors: what it does, not how long that takes."""

    def sample(work: timing.Work, repeats: int) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    monkeypatch.setattr(timing, "DEVICE", "cpu")
    monkeypatch.setattr(timing, "_sample", sample)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
