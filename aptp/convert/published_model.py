"""A model folder as diffusers saves it: `config.json`, and one safetensors file whose shapes the config
gives.

Refuses by name whatever the config does not say, or says of another model than the caller knows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from aptp.convert.tensors import read_safetensors
from runtime.errors import CheckpointError
from runtime.files.source import read_source
from runtime.files.strict_json import decode

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
MOST_BYTES = 1 << 20


class ModelFolder:
    """A model folder at `path`. Raises CheckpointError where there is no config."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            data = read_source(path / CONFIG, MOST_BYTES)
        except OSError as error:
            raise CheckpointError(
                f"{path / CONFIG} cannot be read ({error.strerror}); --from takes the folder with hypernet, "
                "quantizer and one arch folder per expert"
            ) from error
        self._config = decode(data, str(path / CONFIG), CheckpointError)

    def value(self, name: str) -> Any:
        """Return what the config says of `name`; None where it says nothing."""
        return self._config.get(name)

    def number(self, name: str, least: float, most: float, kind: type = float) -> Any:
        """Return a finite number between `least` and `most`; an integer, where that is the `kind`."""
        value = self.value(name)
        kinds = (int, float) if kind is float else (int,)
        if type(value) not in kinds or not least <= value <= most:
            raise self.error(name, f"{'a number' if kind is float else 'an integer'} from {least} to {most}")
        return kind(value)

    def insist(self, **values: bool) -> None:
        """Refuse a model whose config has others: variants that no published model uses."""
        for name, value in values.items():
            if self.value(name) is not value:
                raise self.error(name, str(value))

    def error(self, name: str, wanted: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path / CONFIG}: '{name}' is {self.value(name)!r:.60}; what can be converted has {wanted}"
        )

    def tensors(self, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
        """Return the model's tensors in float32, which must have exactly these shapes."""
        return read_safetensors(self.path / WEIGHTS, shapes)
