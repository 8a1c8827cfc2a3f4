"""Owns what a build consists of: its parts, and the identity by which a finished part is known again.

A part's key is the SHA-256 of everything it is made from: the checkpoint's published hashes, its place in the
pipeline, this software's own source and the versions of the libraries that write graphs. Nothing else decides
whether a part is rebuilt: neither times nor the mere existence of a file.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aptp.checkpoint.reader import DENSE, Checkpoint

from export import graph
from export.errors import RefusedError, UsageError, nearest
from export.schedules import SOLVERS

ENGINES = ("onnx",)
PIPELINES = ("StableDiffusionPipeline",)
LIBRARIES = ("torch", "onnx", "onnx-ir", "onnxscript", "diffusers", "transformers")
# What a process costs before its model: torch, diffusers and onnxruntime loaded, and room for activations.
_BASE_MEMORY = 900 << 20


@dataclass(frozen=True)
class Spec:
    """A build as the user asked for it, every word of it checked."""

    checkpoint: Path
    out: Path
    codes: tuple[str, ...]
    solvers: tuple[str, ...]
    provider: str
    cache: Path | None
    jobs: int
    threads: int
    memory: int  # bytes


@dataclass(frozen=True)
class Part:
    """One unit of work: `memory` in bytes at its peak, `effort` relative to the others'."""

    name: str
    kind: str
    key: str
    memory: int
    effort: float

    @property
    def item(self) -> str:
        """The last word of the name: a code, a solver."""
        return self.name.rpartition("/")[2]


def parse_codes(text: str, count: int) -> tuple[str, ...]:
    """`all`, `dense`, `0,3` or `all,dense` as expert names, in order, each once. Raises UsageError."""
    codes = [str(code) for code in range(count)]
    chosen: list[str] = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        if word == "all":
            chosen += codes
        elif word in (*codes, DENSE):
            chosen.append(word)
        else:
            raise UsageError(
                f"--codes: no code {word!r}; this checkpoint has 0 to {count - 1}, besides all and {DENSE}"
            )
    if not chosen:
        raise UsageError("--codes: names no code; try all")
    return tuple(sorted(dict.fromkeys(chosen), key=lambda name: (name == DENSE, name.zfill(8))))


def parse_solvers(text: str | None) -> tuple[str, ...]:
    """A comma-separated list of solvers, or all of them. Raises UsageError."""
    names = tuple(dict.fromkeys(filter(None, (name.strip() for name in text.split(","))))) if text is not None else tuple(SOLVERS)
    for name in names:
        if name not in SOLVERS:
            raise UsageError(f"--solvers: unknown solver {name!r}; {nearest(name, SOLVERS)}")
    if not names:
        raise UsageError(f"--solvers: names no solver; known: {', '.join(SOLVERS)}")
    return names


def check_pipeline(checkpoint: Checkpoint) -> None:
    """Raises RefusedError for a pipeline this package has no graphs for."""
    if checkpoint.pipeline not in PIPELINES:
        raise RefusedError(
            f"{checkpoint.path}: export of {checkpoint.pipeline} is not supported yet; supported: {', '.join(PIPELINES)}"
        )


def parts(checkpoint: Checkpoint, spec: Spec) -> list[Part]:
    """Everything the bundle is made of, largest first so that the processes end together."""
    common = {"software": software()}
    experts = [_expert(checkpoint, name, common) for name in spec.codes]
    shared = [
        _shared(checkpoint, "encoder", "text_encoder", ["text_encoder", "tokenizer"], common),
        _shared(checkpoint, "decoder", "vae_decoder", ["vae", "unet/config.json"], common),
        _shared(checkpoint, "router", "router", ["router.safetensors", "text_encoder/config.json", "tokenizer"], common),
        _shared(checkpoint, "tokenizer", "tokenizer", ["tokenizer"], common),
    ]
    schedules = [_schedule(checkpoint, solver, common) for solver in spec.solvers]
    return sorted([*experts, *shared, *schedules], key=lambda part: -part.effort)


def image_part(expert: Part, others: list[Part]) -> Part:
    """Rung 4 for one expert: it makes no file, and holds for exactly these parts together."""
    key = _key({"image": expert.key, "with": sorted(part.key for part in others)})
    return Part(f"images/{expert.item}", "image", key, expert.memory, 3.0)


def software() -> dict[str, str]:
    """Versions of the libraries that shape a graph, and the digest of our own source."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    root = Path(__file__).parent.parent
    total = hashlib.sha256()
    for folder in ("export", "aptp/model", "aptp/space"):
        for path in sorted((root / folder).glob("*.py")):
            total.update(path.name.encode() + path.read_bytes())
    return {**versions, "source": total.hexdigest()}


def _expert(checkpoint: Checkpoint, name: str, common: Mapping[str, Any]) -> Part:
    component = "unet" if name == DENSE else f"experts/{name}"
    made_from = {
        **common,
        "weights": checkpoint.digest(component),
        "dense": checkpoint.digest("unet/config.json"),
        "code": None if name == DENSE else checkpoint.architectures[int(name)].digest(),
        "tokens": checkpoint.tokenizer["length"],
        "opset": graph.OPSET,
    }
    size = _bytes(checkpoint, "unet")
    # Float32 twice for the dense UNet, stored as float16, and once for the expert.
    return Part(f"experts/{name}", "expert", _key(made_from), _BASE_MEMORY + 6 * size, 12.0)


def _shared(checkpoint: Checkpoint, kind: str, name: str, components: list[str], common: Mapping[str, Any]) -> Part:
    made_from = {**common, "kind": kind, **{component: checkpoint.digest(component) for component in components}}
    effort = {"encoder": 3.0, "decoder": 6.0}.get(kind, 1.0)
    return Part(name, kind, _key(made_from), _BASE_MEMORY + 6 * _bytes(checkpoint, components[0]), effort)


def _schedule(checkpoint: Checkpoint, solver: str, common: Mapping[str, Any]) -> Part:
    made_from = {**common, "solver": solver, "config": checkpoint.digest("scheduler")}
    return Part(f"schedules/{solver}", "schedule", _key(made_from), _BASE_MEMORY // 2, 2.0)


def _bytes(checkpoint: Checkpoint, component: str) -> int:
    files = checkpoint.record.files.items()
    return sum(entry.size for name, entry in files if name == component or name.startswith(f"{component}/"))


def _key(made_from: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
