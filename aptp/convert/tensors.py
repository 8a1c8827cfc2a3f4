"""Reading tensors from untrusted files.

Pickles are read by torch's restricted unpickler, which builds tensors and runs nothing; whatever comes out is
a finite floating-point tensor of the shape that was asked for, or it is refused by name.
"""

import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from runtime.errors import CheckpointError
from runtime.files.source import read_source

MOST_BYTES = 64 << 20  # of a pickle: an architecture vector has a few kilobytes


def read_pickle(path: Path) -> Tensor:
    """Read the one tensor in a file of `torch.save`. Raises CheckpointError."""
    try:
        data = read_source(path, MOST_BYTES)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); it should hold a tensor") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols that torch itself does not write
            found = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError, KeyError) as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it asks for {asked[1]}" if asked else "it is no file of torch.save"
        raise CheckpointError(f"{path} holds something else than a tensor and is not run: {what}") from error
    if not isinstance(found, Tensor) or found.layout is not torch.strided:
        raise CheckpointError(f"{path} holds a {type(found).__name__}, not a plain tensor")
    return checked(found.detach(), str(path))


def read_safetensors(path: Path, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Read tensors of these `shapes`, all that the file may hold, in float32. Raises CheckpointError."""
    found = read_shapes(path)
    for name in sorted(found.keys() | shapes.keys()):
        if found.get(name) != tuple(shapes.get(name, ())):
            has = f"is {list(found[name])}" if name in found else "is missing"
            wants = f"{list(shapes[name])}" if name in shapes else "no such tensor"
            raise CheckpointError(f"{path}: {name} {has}; the configs want {wants}")
    return {name: tensor.float() for name, tensor in read_all(path).items()}


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the shape of each tensor in a safetensors file, by name."""
    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error


def read_all(path: Path) -> dict[str, Tensor]:
    """Return every tensor of a safetensors file, as it is stored."""
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            return {name: checked(file.get_tensor(name), f"{path}: {name}") for name in names}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error


def checked(tensor: Tensor, where: str) -> Tensor:
    """Return `tensor`, if it holds finite floating-point numbers."""
    if not tensor.is_floating_point():
        raise CheckpointError(f"{where} holds {tensor.dtype} instead of floating-point numbers")
    if not tensor.isfinite().all():
        raise CheckpointError(f"{where} holds values that are not finite")
    return tensor
