"""`aptp.json`, the index of a checkpoint (docs/CHECKPOINT.md): its fields, strict reading, deterministic
writing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from aptp.checkpoint.integrity import FileEntry, check_path
from aptp.space.strict_json import parse_object
from runtime.errors import CheckpointError, nearest

FORMAT, VERSION = "aptp-checkpoint", "1.0"
MAX_BYTES = 16 << 20
GUIDANCE, MAX_GUIDANCE = 7.5, 1000.0
ROUTERS = ("cosine", "gated")
TEXT_ENCODER, PROMPT_ENCODER = "text_encoder", "prompt_encoder"  # folders
OPTIONAL = "unfamiliar"


@dataclass(frozen=True)
class CodeRecord:
    """One code: the budget it was made for (share of dense cost) and its keep-masks by module path."""

    budget: float
    widths: Mapping[str, str]
    depths: Mapping[str, bool]

    @property
    def architecture(self) -> dict[str, Any]:
        return {"widths": dict(self.widths), "depths": dict(self.depths)}


@dataclass(frozen=True)
class OutOfDistributionRule:
    """Prompts whose distance is above ``beyond`` go to ``expert``: the name of a code, or ``dense``."""

    beyond: float
    expert: str


@dataclass(frozen=True)
class Record:
    """What `aptp.json` says. ``size`` is the (height, width) in pixels the codes were budgeted at,
    ``guidance`` the scale that images are drawn with unless a request says otherwise, ``prompt_encoder`` the
    folder of the encoder whose embeddings the router reads, ``unfamiliar`` what becomes of prompts unlike
    those of the training, if anything does.
    """

    name: str
    trained: bool
    size: tuple[int, int]
    depth: tuple[str, ...]
    feed_forward_gates: int
    codes: tuple[CodeRecord, ...]
    guidance: float = GUIDANCE
    router: str = "cosine"
    prompt_encoder: str = TEXT_ENCODER
    provenance: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    unfamiliar: OutOfDistributionRule | None = None

    def to_json(self) -> bytes:
        body = {"format": FORMAT, "version": VERSION, **asdict(self)}
        if self.unfamiliar is None:
            del body[OPTIONAL]
        return (json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def parse(data: bytes) -> Record:
    """Reads `aptp.json`. Raises CheckpointError, naming the field, for whatever docs/CHECKPOINT.md does not
    allow.
    """
    body = _load(data)
    if body.pop("format", None) != FORMAT:
        raise CheckpointError("aptp.json is not the index of an APTP checkpoint: its format is not " + FORMAT)
    version = str(body.pop("version", None))
    if version.partition(".")[0] != VERSION.partition(".")[0]:
        raise CheckpointError(f"aptp.json has version {version}; this software reads {VERSION}: update it")
    known = [item.name for item in fields(Record)]
    for name in body:
        if name not in known:
            raise CheckpointError(f"aptp.json has an unknown field '{name}'{nearest(name, known)}")
    for name in known:
        if name not in body and name != OPTIONAL:
            raise CheckpointError(f"aptp.json lacks the field '{name}'")
    return Record(
        name=_typed(body, "name", str),
        trained=_typed(body, "trained", bool),
        size=_size(body),
        depth=tuple(_list(body, "depth", str)),
        feed_forward_gates=_typed(body, "feed_forward_gates", int),
        codes=tuple(_code(i, code) for i, code in enumerate(_list(body, "codes", dict))),
        guidance=_guidance(body),
        router=_one_of(body, "router", ROUTERS),
        prompt_encoder=_one_of(body, "prompt_encoder", (TEXT_ENCODER, PROMPT_ENCODER)),
        provenance=_typed(body, "provenance", dict),
        files={check_path(name): _entry(name, entry) for name, entry in _typed(body, "files", dict).items()},
        unfamiliar=_unfamiliar(body) if OPTIONAL in body else None,
    )


def digest(data: bytes) -> str:
    """The line that `aptp.sha256` must hold for these bytes of `aptp.json`."""
    return f"{hashlib.sha256(data).hexdigest()}  aptp.json\n"


def _load(data: bytes) -> dict[str, Any]:
    try:
        return parse_object(data, MAX_BYTES)
    except ValueError as error:
        raise CheckpointError(f"aptp.json is {error}") from error


def _typed(body: Mapping[str, Any], name: str, kind: type) -> Any:
    value = body.get(name)
    if type(value) is not kind:
        raise CheckpointError(f"aptp.json: '{name}' must be a {kind.__name__}, found {value!r:.60}")
    return value


def _list(body: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    items = _typed(body, name, list)
    for item in items:
        if type(item) is not kind:
            raise CheckpointError(f"aptp.json: '{name}' must hold {kind.__name__}s, found {item!r:.60}")
    return list(items)


def _size(body: Mapping[str, Any]) -> tuple[int, int]:
    size = _list(body, "size", int)
    if len(size) != 2 or min(size) < 1:
        raise CheckpointError(f"aptp.json: 'size' must be [height, width] in pixels, found {size!r:.60}")
    return size[0], size[1]


def _guidance(body: Mapping[str, Any]) -> float:
    scale: Any = body.get("guidance")
    if type(scale) not in (int, float) or not 0 <= scale <= MAX_GUIDANCE:
        raise CheckpointError(
            f"aptp.json: 'guidance' must be a number from 0 to {MAX_GUIDANCE:g}, found {scale!r:.60}"
        )
    return float(scale)


def _one_of(body: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str:
    value: str = _typed(body, name, str)
    if value not in known:
        raise CheckpointError(
            f"aptp.json: unknown {name} '{value:.60}'; this version knows {' and '.join(map(repr, known))}"
        )
    return value


def _code(index: int, code: dict[str, Any]) -> CodeRecord:
    if set(code) != {"budget", "widths", "depths"}:
        raise CheckpointError(
            f"aptp.json: code {index} must have budget, widths and depths, found {sorted(code)}"
        )
    budget = code["budget"]
    if type(budget) not in (int, float) or not 0 < budget <= 1:
        raise CheckpointError(
            f"aptp.json: code {index} has the budget {budget!r:.60}, which is not in (0, 1]"
        )
    return CodeRecord(float(budget), _typed(code, "widths", dict), _typed(code, "depths", dict))


def _unfamiliar(body: Mapping[str, Any]) -> OutOfDistributionRule:
    found = _typed(body, OPTIONAL, dict)
    if set(found) != {"beyond", "expert"}:
        raise CheckpointError(f"aptp.json: '{OPTIONAL}' must have beyond and expert, found {sorted(found)}")
    beyond, names = found["beyond"], ["dense", *map(str, range(len(body["codes"])))]
    if type(beyond) not in (int, float) or not beyond > 0:
        raise CheckpointError(
            f"aptp.json: '{OPTIONAL}' lies beyond {beyond!r:.60}, which is not a number above 0"
        )
    if found["expert"] not in names:
        raise CheckpointError(
            f"aptp.json: '{OPTIONAL}' names the expert {found['expert']!r:.60}; there is {', '.join(names)}"
        )
    return OutOfDistributionRule(float(beyond), found["expert"])


def _entry(name: str, entry: Any) -> FileEntry:
    if not isinstance(entry, dict) or set(entry) != {"size", "sha256"}:
        raise CheckpointError(f"aptp.json: files: {name} must have size and sha256")
    sha = _typed(entry, "sha256", str)
    if len(sha) != 64 or set(sha) - set("0123456789abcdef"):
        raise CheckpointError(f"aptp.json: files: {name} has no lower-case SHA-256")
    return FileEntry(_typed(entry, "size", int), sha)
