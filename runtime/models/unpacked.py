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
_CHUNK = 256 * 1024  # bytes of float32, a multiple of 4: arrays of as many stay in the processor's caches
_BIAS = np.uint32(127 - 15 << 23)  # between the exponents of both


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
    """Return what `widened` was given, None where it was not given anything.

    By integers, which are several times as fast as conversions; the few values that are no normal float16 are
    converted.
    """
    if len(floats) % 4:
        return None
    bits = np.frombuffer(floats, "<u4")
    halves = (bits & 0x7FFFFFFF) - _BIAS
    halves >>= 13
    halves &= 0x7FFF
    back = halves << 13
    back += _BIAS
    sign = bits & 0x80000000
    back |= sign
    sign >>= 16
    halves |= sign
    narrow = halves.astype("<u2")
    # Exact, and normal on both sides: neither of what float16 has at the ends of its exponents.
    exponents = narrow & 0x7C00
    (others,) = np.nonzero((back != bits) | (exponents == 0) | (exponents == 0x7C00))
    if others.size:
        values = bits[others].view("<f4")
        with np.errstate(over="ignore"):  # becomes an infinity, which is seen below
            found = values.astype("<f2")
        if found.astype("<f4").tobytes() != values.tobytes():
            return None
        narrow[others] = found.view("<u2")
    return narrow.tobytes()
