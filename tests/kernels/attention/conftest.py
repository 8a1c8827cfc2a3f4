from collections.abc import Iterator

import pytest

from kernels.attention import op
from tests.kernels.attention.problems import Fences


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the kernels run: here in the interpreter, on CPU tensors, with what they allocate fenced."""
    monkeypatch.setattr(op, "on_gpu", lambda x: True)
    fences = Fences(monkeypatch)
    yield "cpu"
    fences.check()
