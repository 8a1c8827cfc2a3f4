"""JSON files of a pipeline's folder, which anybody may have written."""

import json
from pathlib import Path
from typing import Any

from aptp.components.boundary import reading
from runtime.errors import CheckpointError
from runtime.files.source import open_source, read_source

LARGEST = 16 << 20
POINTER = b"version https://git-lfs"


def read_config(path: Path) -> dict[str, Any]:
    """Read the JSON object in the file at `path`. Raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(f"{path.parent}: there is no {path.name}; fetch the pipeline again, whole")
    refuse_pointer(path)
    with reading(f"{path} cannot be read"):
        found = json.loads(read_source(path, LARGEST))
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} does not hold a JSON object; fetch the pipeline again")
    return found


def refuse_pointer(path: Path) -> None:
    """Raise CheckpointError where Git LFS has left a pointer in place of the file."""
    with reading(f"{path} cannot be read"), open_source(path) as file:
        start = file.read(len(POINTER))
    if start == POINTER:
        raise CheckpointError(
            f"{path} is a pointer of Git LFS, not the file: run `git lfs install` and `git lfs pull` in the "
            "folder that was cloned"
        )
