"""Features of reference pictures, kept in one file: made once, and compared with wherever they are.

The file is safetensors: the features [N, D] of each encoder, and in its metadata what they were made with.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from aptp.score.encoders import Encoder
from aptp.score.features import Features
from runtime.errors import DataError, StorageError, UsageError
from runtime.files.publish import write_file

FORMAT = "aptp.score 1"


def write_reference(path: Path, features: Mapping[str, Features], encoders: Mapping[str, Encoder]) -> None:
    """Keep `features` by the name of their encoder. Raises StorageError."""
    told = {name: json.dumps(_identity(encoders[name])) for name in features}
    data = save(
        {name: np.ascontiguousarray(each) for name, each in features.items()}, {"format": FORMAT, **told}
    )
    try:
        write_file(path, data)
    except OSError as error:
        raise StorageError(
            f"--keep {path} cannot be written ({error.strerror}); name another place"
        ) from error


def read_reference(path: Path, encoders: Mapping[str, Encoder]) -> dict[str, Features]:
    """Read the features of `encoders`.

    Raises DataError for a file that is none, UsageError for one that holds features of other encoders.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            told = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys() if name in encoders}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"--against {path} cannot be read as a file of --keep ({error}); give it, or a folder of pictures"
        ) from error
    if told.get("format") != FORMAT:
        raise DataError(f"--against {path} was not written by --keep of this version ({FORMAT})")
    return {name: _checked(path, told, tensors, name, _identity(each)) for name, each in encoders.items()}


def _checked(
    path: Path, told: Mapping[str, str], tensors: Mapping[str, Features], name: str, wanted: object
) -> Features:
    """Return the features of encoder `name`, made as `wanted`."""
    if name not in tensors or name not in told:
        known = ", ".join(sorted(set(told) - {"format"}))
        raise UsageError(
            f"--against {path} holds features of {known}, and none of {name}; keep them again with both"
        )
    found = json.loads(told[name])
    if found != wanted:
        raise UsageError(
            f"--against {path} holds features of {name} by other weights or preprocessing ({found}, and here "
            f"{wanted}); distances between them would mean nothing"
        )
    features = tensors[name]
    if features.ndim != 2 or features.dtype != np.float32 or not np.isfinite(features).all():
        raise DataError(f"--against {path}: the features of {name} are no finite table; keep them again")
    return features


def _identity(encoder: Encoder) -> dict[str, object]:
    return {"weights": encoder.weights, "preprocessing": encoder.preprocessing}
