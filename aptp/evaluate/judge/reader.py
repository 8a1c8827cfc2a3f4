"""The trained judge: from pictures to detections. Its weights come with the package."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from aptp.data.scenes.vocabulary import SIDE
from aptp.evaluate.detections import Pictures, Reading
from aptp.evaluate.judge.decoding import readings
from aptp.evaluate.judge.network import COARSE, JudgeNetwork, Outputs
from runtime.errors import IntegrityError, StorageError, UsageError
from runtime.files.publish import write_file

WEIGHTS = Path(__file__).parent / "judge.safetensors"
BATCH = 100


class Judge:
    """A trained judge. It reads each picture by itself: the rest of a batch does not matter."""

    def __init__(self, network: JudgeNetwork) -> None:
        self._network = network.eval()

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> "Judge":
        """Load the judge that comes with the package, or another. Raises IntegrityError if the file holds
        none.
        """
        network = JudgeNetwork()
        try:
            network.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise IntegrityError(
                f"{path} holds no judge ({error}); python -m aptp.evaluate.judge makes one"
            ) from error
        return cls(network)

    def save(self, path: Path) -> None:
        """Write the weights in half precision. Raises StorageError."""
        state = {
            name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
            for name, tensor in self._network.state_dict().items()
        }
        try:
            write_file(path, save(state))
        except (OSError, SafetensorError) as error:
            raise StorageError(f"the judge cannot be written to {path}: {error}") from error

    def read(self, pictures: Pictures) -> list[Reading]:
        """Return one reading per picture. Raises UsageError for what are no pictures of scenes."""
        return [reading for outputs in self._look(pictures) for reading in readings(outputs)]

    def features(self, pictures: Pictures) -> npt.NDArray[np.float64]:
        """Return [N, 96]: what FD-scenes compares. Raises UsageError for what are no pictures of scenes."""
        found: npt.NDArray[np.float64] = np.concatenate(
            [np.empty((0, COARSE)), *(outputs.features.double().numpy() for outputs in self._look(pictures))]
        )
        return found

    def _look(self, pictures: Pictures) -> Iterator[Outputs]:
        if pictures.dtype != np.uint8 or pictures.shape[1:] != (SIDE, SIDE, 3):
            raise UsageError(
                f"the judge reads uint8 pictures of [{SIDE}, {SIDE}, 3], not {pictures.dtype} of "
                f"{list(pictures.shape[1:])}"
            )
        for start in range(0, len(pictures), BATCH):
            some = torch.from_numpy(pictures[start : start + BATCH])
            with torch.inference_mode():
                yield self._network(some.permute(0, 3, 1, 2).float() / 127.5 - 1)
