"""The resume state of a training run: one safetensors file, replaced whole or not at all.

Its header says what the run was, so that another run's state is refused by name.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open

from runtime.errors import IntegrityError, StorageError, UsageError
from runtime.files.publish import replacing

NAME = "state.safetensors"
DTYPES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.uint8: "U8",
}
FREE = ("steps", "decay")  # what may change between sessions: how long the run is to be


def save(
    folder: Path, step: int, identity: Mapping[str, Any], tensors: Mapping[str, Mapping[str, torch.Tensor]]
) -> None:
    """Write groups of named tensors after `step` steps. Raises StorageError; the old state then stays."""
    flat = {f"{group}/{name}": t.detach() for group, named in tensors.items() for name, t in named.items()}
    try:
        with replacing(folder / NAME) as file:
            _write(file, flat, {"step": str(step), "identity": json.dumps(identity)})
    except OSError as error:
        raise StorageError(f"the resume state cannot be written to {folder}: {error}") from error


def _write(file: BinaryIO, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write one tensor after another: the library's own writer would hold a second copy of all of them at
    once.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        shape = list(tensor.shape)
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for tensor in tensors.values():
        file.write(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def load(folder: Path, identity: Mapping[str, Any]) -> tuple[int, dict[str, dict[str, torch.Tensor]]] | None:
    """Return (steps done, groups of tensors), or None where no run was started.

    Raises IntegrityError for a damaged file and UsageError where the run was another one.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata()
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        raise IntegrityError(f"{path} is damaged ({error}); remove it to start over") from error
    check(path, json.loads(header["identity"]), json.loads(json.dumps(identity)))
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in flat.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = tensor
    return int(header["step"]), groups


def check(path: Path, saved: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise UsageError, naming what differs, where the file at `path` was `saved` by another run."""
    differing = [
        f"{key} was {saved.get(key)!r} and is now {asked.get(key)!r}"
        for key in sorted(saved.keys() | asked.keys())
        if key not in FREE and saved.get(key) != asked.get(key)
    ]
    if differing:
        raise UsageError(
            f"{path} belongs to another run: {'; '.join(differing)}. Give the same options to go on, "
            "or another --out to start afresh"
        )
