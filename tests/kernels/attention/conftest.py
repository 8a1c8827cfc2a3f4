from collections.abc import Iterator

import pytest

from kernels.attention import op, tiles
from tests.kernels.attention.problems import Fences


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the kernels run: here in the interpreter, on CPU tensors, with what they allocate fenced."""
    monkeypatch.setattr(op, "on_gpu", lambda x: True)
    fences = Fences(monkeypatch)
    yield "cpu"
    fences.check()


@pytest.fixture(params=[(8, 0), (9, 0)], ids=str)
def architecture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks are those that the table has for this compute capability."""
    monkeypatch.setattr(tiles, "capability", lambda x: request.param)
    monkeypatch.setattr(tiles, "INTERPRETED", {})
