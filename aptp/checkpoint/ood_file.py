"""`out_of_distribution.safetensors`: the detector that measures a prompt's distance from training prompts."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from aptp.model.mahalanobis import MahalanobisDetector
from runtime.errors import CheckpointError

NAME = "out_of_distribution.safetensors"


def read_detector(folder: Path) -> MahalanobisDetector:
    """Read a checkpoint's detector, in eval mode. Raises CheckpointError."""
    try:
        state = load_file(folder / NAME)
        clusters, width = state["centres"].shape
        detector = MahalanobisDetector(width, clusters)
        detector.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{folder / NAME} does not hold a distance: {error}") from error
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise CheckpointError(f"{folder / NAME} holds values that are not finite")
    return detector.eval()


def write_detector(detector: MahalanobisDetector, folder: Path) -> None:
    state = {name: tensor.contiguous() for name, tensor in detector.state_dict().items()}
    save_file(state, folder / NAME)
