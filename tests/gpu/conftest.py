import os
from collections.abc import Iterator

import pytest
import torch

from tests.kernels.attention.problems import Fences


@pytest.fixture(autouse=True)
def exact_float32() -> Iterator[None]:
    """Without TF32, which cuDNN uses unless told otherwise, and which errs by 5e-4."""
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = False
    yield
    for switch, value in zip(switches, before, strict=True):
        switch.allow_tf32 = value


@pytest.fixture
def gpu() -> str:
    """Where the kernels run: here as they are."""
    if not torch.cuda.is_available() or os.environ["TRITON_INTERPRET"] == "1":
        pytest.skip("needs an NVIDIA GPU and compiled kernels: run `make gpu`")
    return "cuda"


@pytest.fixture
def device(gpu: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same, with what they allocate fenced."""
    fences = Fences(monkeypatch)
    yield gpu
    torch.cuda.synchronize()
    fences.check()


@pytest.fixture
def architecture() -> None:
    """The blocks are those of the GPU that is there."""
