import os
from collections.abc import Iterator

import pytest
import torch

from tests.kernels.attention.problems import Fences


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the kernels run: here as they are, with what they allocate fenced."""
    if not torch.cuda.is_available() or os.environ["TRITON_INTERPRET"] == "1":
        pytest.skip("needs an NVIDIA GPU and compiled kernels: run `make gpu`")
    fences = Fences(monkeypatch)
    yield "cuda"
    torch.cuda.synchronize()
    fences.check()
