"""`familiarity.safetensors`: what measures how far a prompt lies from those of the training."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from aptp.model.mahalanobis import MahalanobisDetector
from runtime.errors import CheckpointError

NAME = "familiarity.safetensors"


def read_familiarity(folder: Path) -> MahalanobisDetector:
    """A checkpoint's, in eval mode. Raises CheckpointError."""
    try:
        state = load_file(folder / NAME)
        clusters, width = state["centres"].shape
        familiarity = MahalanobisDetector(width, clusters)
        familiarity.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{folder / NAME} does not hold a distance: {error}") from error
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise CheckpointError(f"{folder / NAME} holds values that are not finite")
    return familiarity.eval()


def write_familiarity(familiarity: MahalanobisDetector, folder: Path) -> None:
    state = {name: tensor.contiguous() for name, tensor in familiarity.state_dict().items()}
    save_file(state, folder / NAME)
