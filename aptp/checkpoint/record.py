"""`aptp.json`, the index of a checkpoint (docs/CHECKPOINT.md): its fields, strict reading, deterministic
writing.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from runtime.errors import CheckpointError
from runtime.files.strict_json import Fields, as_integer, as_text, check_surrogates, decode, refuse_reserved
from runtime.files.verified import FileEntry, check_path
from runtime.formats import DENSE, MAX_GUIDANCE

INDEX = "aptp.json"
FORMAT, VERSION, KIND = "aptp-checkpoint", "3.0", "pipeline"
GUIDANCE = 7.5
ROUTERS = ("cosine", "gated")
TEXT_ENCODER, PROMPT_ENCODER = "text_encoder", "prompt_encoder"  # folders
OPTIONAL = "out_of_distribution"
# What the format keeps for later; the release that fills one of these takes it out of the table.
RESERVED = {
    "kind=network": "this release reads checkpoints of kind 'pipeline'",
    "text_encoder": "this release prunes the UNet alone; the text encoder has to be whole",
    "bins": "this release routes by the prompt alone",
    "choices": "this release knows none; the codes say all that a prompt can go to",
}


@dataclass(frozen=True, slots=True)
class CodeRecord:
    """One code: the budget it was made for (share of dense cost) and its keep-masks by module path."""

    budget: float
    widths: Mapping[str, str]
    depths: Mapping[str, bool]

    @property
    def architecture(self) -> dict[str, Any]:
        return {"widths": dict(self.widths), "depths": dict(self.depths)}


@dataclass(frozen=True, slots=True)
class OutOfDistributionRule:
    """The rule for unusual prompts: those whose distance is above `threshold` go to `expert`, a code's name
    or `dense`.
    """

    threshold: float
    expert: str


@dataclass(frozen=True, slots=True)
class Record:
    """The content of `aptp.json`. `size` is the (height, width) in pixels the codes were budgeted at,
    `guidance` the scale that images are drawn with unless a request says otherwise, `prompt_encoder` the
    folder of the encoder whose embeddings the router reads, `out_of_distribution` what becomes of prompts
    unlike those of the training, if anything does.
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
    out_of_distribution: OutOfDistributionRule | None = None

    def to_json(self) -> bytes:
        body = {"format": FORMAT, "version": VERSION, "kind": KIND, **asdict(self)}
        if self.out_of_distribution is None:
            del body[OPTIONAL]
        return (json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def parse(data: bytes) -> Record:
    """Read `aptp.json`. Raises CheckpointError, naming the field, for whatever docs/CHECKPOINT.md does not
    allow.
    """
    body = decode(data, INDEX, CheckpointError)
    check_surrogates(body, INDEX, CheckpointError)
    top = Fields(body, INDEX, CheckpointError)
    if not top.has("format") or top.raw("format") != FORMAT:
        raise CheckpointError(f"{INDEX} is not the index of an APTP checkpoint: its format is not {FORMAT}")
    version = top.text("version")
    if version.partition(".")[0] != VERSION.partition(".")[0]:
        raise CheckpointError(
            f"{INDEX} has version {version:.20}; this software reads {VERSION}: update it, or make the "
            "checkpoint again with the version you have"
        )
    refuse_reserved(body, INDEX, RESERVED, CheckpointError)
    top.text("kind", choices=(KIND,))
    codes = top.objects("codes", _code, least=0)
    record = Record(
        name=top.text("name"),
        trained=top.flag("trained"),
        size=_size(top),
        depth=top.items("depth", lambda item, where: as_text(item, where, CheckpointError), least=0),
        feed_forward_gates=top.integer("feed_forward_gates"),
        codes=codes,
        guidance=_guidance(top),
        router=top.text("router", choices=ROUTERS),
        prompt_encoder=top.text("prompt_encoder", choices=(TEXT_ENCODER, PROMPT_ENCODER)),
        provenance=top.object("provenance"),
        files={_path(name): entry for name, entry in top.table("files", _entry).items()},
        out_of_distribution=_rule(top.fields(OPTIONAL), len(codes)) if top.has(OPTIONAL) else None,
    )
    top.close()
    return record


def digest(data: bytes) -> str:
    """Return the line that `aptp.sha256` must hold for these bytes of `aptp.json`."""
    return f"{hashlib.sha256(data).hexdigest()}  aptp.json\n"


def _size(top: Fields) -> tuple[int, int]:
    size = top.items("size", lambda item, where: as_integer(item, where, CheckpointError, 1))
    if len(size) != 2:
        raise top.error("size", "must be [height, width] in pixels")
    return size[0], size[1]


def _guidance(top: Fields) -> float:
    scale = top.number("guidance")
    if not 0 <= scale <= MAX_GUIDANCE:
        raise top.error("guidance", f"must be a number from 0 to {MAX_GUIDANCE:g}, not {scale:g}")
    return scale


def _code(code: Fields) -> CodeRecord:
    budget = code.number("budget")
    if not 0 < budget <= 1:
        raise code.error("budget", f"{budget:g} is not in (0, 1]")
    record = CodeRecord(budget, code.object("widths"), code.object("depths"))
    code.close()
    return record


def _rule(rule: Fields, codes: int) -> OutOfDistributionRule:
    threshold, names = rule.number("threshold"), (DENSE, *map(str, range(codes)))
    if not threshold > 0:
        raise rule.error("threshold", f"{threshold:g} is not a number above 0")
    found = OutOfDistributionRule(threshold, rule.text("expert", choices=names))
    rule.close()
    return found


def _path(name: str) -> str:
    return check_path(name, f"{INDEX}.files", CheckpointError, within="checkpoint")


def _entry(entry: Fields) -> FileEntry:
    found = FileEntry(entry.integer("size"), entry.digest("sha256"))
    entry.close()
    return found
