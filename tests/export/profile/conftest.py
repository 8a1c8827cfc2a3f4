"""An engine that runs nothing, on a subject of the smallest geometry."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from torch import Tensor, nn

from export.profile.measurement import Measurement
from export.profile.subject import Subject
from export.profile.timing import Patience


@dataclass(slots=True)
class Fake:
    """Opens anything, `life` times; then it is as if the user had pressed Ctrl-C."""

    name: str = "fake 1.0"
    precision: str = "float32"
    life: int = 10**6
    opened: list[nn.Module] = field(default_factory=list)

    def open(self, module: nn.Module, tensors: Sequence[Tensor], folder: Path) -> Callable[[], object]:
        assert list(folder.iterdir()) == []
        assert [tensor.shape for tensor in tensors]
        if len(self.opened) == self.life:
            raise KeyboardInterrupt
        self.opened.append(module)
        return lambda: None


@pytest.fixture
def engine() -> Fake:
    return Fake()


@pytest.fixture(scope="session")
def subject(mini: Path) -> Subject:
    return Subject.of(mini)


@pytest.fixture
def measurement(subject: Subject, engine: Fake, tmp_path: Path) -> Measurement:
    """At the ends of every width, as quickly as can be."""
    return Measurement(subject, engine, 2, 1, Patience(1, 0), tmp_path / "profile.json")
