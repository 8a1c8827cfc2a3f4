"""Weights that were unpacked from float16 to float32, and their check against the digest of the float16 ones.

Nothing that lies beside them is believed: what a manifest lists says what they are.
"""

import hashlib
from io import BufferedReader
from pathlib import Path

import numpy as np

from runtime.errors import IntegrityError
from runtime.files.verified import FileEntry, VerifiedFiles

GRAPH, DATA = "serve.onnx", "serve.onnx.data"
_CHUNK = 1024 * 1024  # bytes of float32, a multiple of 4


class UnpackedFiles(VerifiedFiles):
    """A graph and its float32 weights below `root`, whose float16 values are those of `weights`."""

    def __init__(self, root: Path, graph: FileEntry, weights: FileEntry, remedy: str) -> None:
        entries = {GRAPH: graph, DATA: FileEntry(2 * weights.size, weights.sha256)}
        super().__init__(root, entries, remedy)

    def digest(self, path: str, file: BufferedReader) -> str:
        """Return the SHA-256 of a file; of weights, of the float16 values that they were unpacked from.

        Raises `IntegrityError` for a weight that no float16 value is.
        """
        if path != DATA:
            return super().digest(path, file)
        found = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            halves = _narrowed(chunk)
            if halves is None:
                raise IntegrityError(f"{self.root}/{path}: holds values beyond float16; {self.remedy}")
            found.update(halves)
        return found.hexdigest()


def widened(halves: bytes) -> bytes:
    """Return little-endian float16 values as float32, which holds each of them exactly."""
    return np.frombuffer(halves, "<f2").astype("<f4").tobytes()


def _narrowed(floats: bytes) -> bytes | None:
    """Return what `widened` was given, None where it was not given anything."""
    if len(floats) % 4:
        return None
    with np.errstate(over="ignore"):  # becomes an infinity, which is seen below
        halves = np.frombuffer(floats, "<f4").astype("<f2").tobytes()
    return halves if widened(halves) == floats else None
