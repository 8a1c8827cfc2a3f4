"""The manifest's entry of a compiled engine, and the request for one on this machine.

Refuses precisions and machines for which there is no such engine.
"""

from collections.abc import Mapping
from typing import Any

from runtime.bundle.compiled import PRECISIONS, SUPERNET, identity
from runtime.bundle.schema import Compiled, Model, Range, SupernetGates
from runtime.engines import nvidia, target
from runtime.errors import Refused, UsageError, nearest
from runtime.files.verified import FileEntry

# Rows of a call: one request without guidance, one with, and eight with.
ROWS = Range(1, 2, 16)
_BFLOAT16 = ("bf16", "sm8", "sm9", "sm1")  # processors and GPUs that compute in it
_TARGET = ("device", "architecture")
# A plan's precision is its graph's, and there are two (`export.engines.tensorrt.graph`).
_OFFERED = {"aoti": PRECISIONS, "tensorrt": ("float16", "float32"), SUPERNET: PRECISIONS}
_VERSIONS = {"aoti": ("torch",), "tensorrt": ("tensorrt", "driver"), SUPERNET: ("torch",)}


def wanted(kind: str, size: tuple[int, int], precision: str | None) -> dict[str, Any]:
    """Return the entry without file and identity, for latents of `size` and this machine.

    `precision` None means float16 for TensorRT, whose graph has float32 where that is needed; for others
    bfloat16 where the machine computes in it, else float32. Raises UsageError, Refused.
    """
    if kind == "tensorrt" and (reason := nvidia.missing()):
        raise Refused(f"--engines tensorrt: {reason}; plans are built on the GPU that runs them")
    facts = target.facts("cuda" if nvidia.device() else "cpu")
    names = [*_TARGET, *_VERSIONS[kind]]
    for name in names:
        if name not in facts:
            raise Refused(f"--engines {kind}: needs {name}, which is not installed here")
    if precision is not None and precision not in _OFFERED[kind]:
        raise UsageError(
            f"--precision: {kind} has no {precision!r}{nearest(precision, _OFFERED[kind])}; "
            f"known: {', '.join(_OFFERED[kind])}"
        )
    height, width = size
    return {
        "kind": kind,
        "precision": precision or _suiting(kind, facts["architecture"]),
        "profile": {"batch": [*ROWS], "height": [height] * 3, "width": [width] * 3},
        "target": {name: facts[name] for name in names},
    }


def _suiting(kind: str, architecture: str) -> str:
    if kind == "tensorrt":
        return "float16"
    return "bfloat16" if any(mark in architecture for mark in _BFLOAT16) else "float32"


def complete(
    facts: Mapping[str, Any],
    file: str,
    model: Mapping[str, str],
    files: Mapping[str, Mapping[str, Any]],
    gates: SupernetGates,
) -> dict[str, Any]:
    """Return the manifest's entry for a compiled `file`; `model` and `files` are what the manifest says of
    them, and `gates` the expert's code.
    """
    profile = {axis: Range(*sizes) for axis, sizes in facts["profile"].items()}
    made = Compiled(facts["kind"], file, facts["precision"], profile, facts["target"], "")
    of = Model(**model)
    hashes = {path: FileEntry(files[path]["size"], files[path]["sha256"]) for path in of.paths}
    return {**facts, "file": file, "identity": identity(made, of, hashes, gates)}
