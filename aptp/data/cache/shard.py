"""Shards of a cache: safetensors files that are written whole, and read row by row once they were checked."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from aptp.data.cache.form import REMEDY, shard_name
from runtime.errors import IntegrityError, StorageError
from runtime.files.publish import disk_space, write_file
from runtime.files.verified import VerifiedFiles

LENGTHS = "lengths"  # of the index shard: `Plan.lengths`, under a digest
OPEN = 64  # shards that a process keeps mapped


def write_shard(folder: Path, kind: str, number: int, tensors: Mapping[str, torch.Tensor]) -> str:
    """Publish a shard under the name of its content, and return that name. Raises StorageError."""
    data = save(dict(tensors))
    path = folder / shard_name(kind, number, hashlib.sha256(data).hexdigest())
    try:
        with disk_space(path, len(data)):
            write_file(path, data)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
    return path.name


def read_tensors(
    files: VerifiedFiles, name: str, keys: Iterable[str] | None = None
) -> dict[str, torch.Tensor]:
    """Read the tensors of a shard that are called `keys`, by default all. Raises IntegrityError."""
    shard = _shard(files, name)
    try:
        return {key: shard.get_tensor(key) for key in (shard.keys() if keys is None else keys)}
    except SafetensorError as error:
        raise IntegrityError(f"{files.root / name} is of another form ({error}); {REMEDY}") from error


def read_row(files: VerifiedFiles, name: str, key: str, row: int) -> torch.Tensor:
    """Read one row of a tensor. A process hashes each file before it reads any. Raises IntegrityError."""
    found: torch.Tensor = _shard(files, name).get_slice(key)[row]
    return found


def _shard(files: VerifiedFiles, name: str) -> Any:
    path = files.file(name)
    try:
        return _mapped(path, path.stat().st_ino)
    except (OSError, SafetensorError) as error:
        raise IntegrityError(f"{path} is no safetensors file ({error}); {REMEDY}") from error


@lru_cache(maxsize=OPEN)
def _mapped(path: Path, inode: int) -> Any:
    """Map a shard; made anew, it has another `inode`."""
    return safe_open(path, "pt").__enter__()  # type: ignore[no-untyped-call]
