"""The manifest's content: how a checkpoint's parts, once made, fit together (docs/BUNDLE.md)."""

import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aptp.checkpoint.reader import Checkpoint
from aptp.checkpoint.record import PROMPT_ENCODER
from aptp.model.router import TIE
from aptp.version import __version__
from export.build.part_store import PartRecord
from export.build.plan import LIBRARIES
from export.engines import int8, manifest_entry
from export.graphs import weights
from export.graphs.expert import CLOCK
from runtime.bundle.compiled import KINDS, SUPERNET
from runtime.bundle.earned import INT8
from runtime.bundle.schema import SupernetGates
from runtime.formats import DENSE

TEXT, PROMPT = "text", "prompt"  # encoders by name
STEPS = 25
# In order of preference for a request that names none.
DEFAULT_SOLVERS = ("ddim", "dpmpp_2m", "euler", "unipc", "pndm")
# Latents may be this many times larger than the default along a side; below two steps the deepest level is
# one pixel.
_LARGEST = 4
_SMALLEST_STEPS = 2


Judged = Mapping[tuple[str, str], list[dict[str, Any]]]  # entries of `earned` by what they were earned with


def body(checkpoint: Checkpoint, records: Mapping[str, PartRecord], judged: Judged) -> dict[str, Any]:
    """Return the manifest without its `files`, from the records of finished parts by name.

    `judged` are judgements of an earlier bundle: what has not changed keeps them.
    """
    schedules = {name: _schedule(name, record) for name, record in _below(records, "schedules").items()}
    experts = {name: expert(checkpoint, name, records, judged) for name in _below(records, "experts")}
    return {
        "producer": {"aptp": __version__, **{name: importlib.metadata.version(name) for name in LIBRARIES}},
        "source": {
            "name": checkpoint.record.name,
            "checkpoint": checkpoint.digest(),
            "trained": checkpoint.record.trained,
        },
        "defaults": {**_defaults(schedules), "guidance": checkpoint.record.guidance},
        "latent": _latent(checkpoint),
        "encoders": _encoders(records),
        "conditioning": [{"input": "encoder_hidden_states", "encoder": TEXT}],
        "router": _router(checkpoint, records["router"], experts),
        "decoder": {
            "model": _model(records["vae_decoder"]),
            "scale": checkpoint.vae_scale,
            "scaling_factor": checkpoint.vae_config["scaling_factor"],
            "shift_factor": checkpoint.vae_config.get("shift_factor") or 0.0,
            **records["vae_decoder"].facts,
        },
        "dense_macs": int(checkpoint.cost().dense),
        "experts": experts,
        "schedules": schedules,
    }


def _below(records: Mapping[str, PartRecord], folder: str) -> dict[str, PartRecord]:
    prefix = f"{folder}/"
    return {name.removeprefix(prefix): records[name] for name in sorted(records) if name.startswith(prefix)}


def _model(record: PartRecord) -> dict[str, str]:
    places = {path.rpartition("/")[2]: path for path in record.files}
    names = {
        "graph": (weights.GRAPH, int8.GRAPH),
        "weights": (weights.WEIGHTS, int8.WEIGHTS),
        "serve": (weights.SERVE,),
    }
    found = {field: places[name] for field, some in names.items() for name in some if name in places}
    return {**found, "identity": record.key}


def expert(
    checkpoint: Checkpoint, name: str, records: Mapping[str, PartRecord], judged: Judged
) -> dict[str, Any]:
    """Return the manifest's entry of an expert: its graphs, and what was compiled of them or for all."""
    record, gates = records[f"experts/{name}"], SupernetGates.of(checkpoint.architecture(name).keep)
    model, supernet = _model(record), records.get(f"compiled/{SUPERNET}")
    made = [records.get(f"compiled/{kind}/{name}") for kind in KINDS]
    compiled = [
        manifest_entry.complete(one.facts, next(iter(one.files)), model, record.files, gates)
        for one in (*made, supernet)
        if one
    ]
    earned = _earned(records, name)
    quantized = records.get(f"{INT8}/{name}")
    if quantized:
        earned += judged.get(_bytes_of(_model(quantized), quantized.files), [])
    return {
        "model": model,
        "clock": {
            "graph": next(path for path in record.files if path.endswith(CLOCK)),
            "identity": record.key,
        },
        **record.facts,
        **({"earned": earned} if earned else {}),
        **({INT8: _model(quantized)} if quantized else {}),
        **({"compiled": compiled} if compiled else {}),
        **({"gates": asdict(gates)} if supernet else {}),
    }


def judged(manifest: Mapping[str, Any] | None) -> Judged:
    """Return the judgements that a manifest holds, by the bytes that they are about."""
    found = {}
    for one in manifest["experts"].values() if manifest else ():
        entries = [entry for entry in one.get("earned", ()) if entry["precision"] == INT8]
        if entries and manifest:
            found[_bytes_of(one[INT8], manifest["files"])] = entries
    return found


def _bytes_of(model: Mapping[str, str], files: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    return files[model["graph"]]["sha256"], files[model["weights"]]["sha256"]


def _earned(records: Mapping[str, PartRecord], name: str) -> list[dict[str, str]]:
    """Return the reduced precisions in which engines may compute an expert, by class of processor."""
    facts = [records[part].facts for part in sorted(records) if re.fullmatch(f"earned/.*/{name}", part)]
    fields = ("engine", "precision", "processor")
    return [{field: one[field] for field in fields} for one in facts if one["passed"]]


def _encoders(records: Mapping[str, PartRecord]) -> list[dict[str, Any]]:
    """Return the text encoder, and the one that prompts are routed by where that is another."""
    frame = records["tokenizer"].facts
    found = [_encoder(TEXT, records["text_encoder"], ["input_ids"], "tokenizer", frame)]
    if own := records.get(PROMPT_ENCODER):
        found.append(_encoder(PROMPT, own, ["input_ids", "attention_mask"], PROMPT_ENCODER, own.facts))
    return found


def _encoder(
    name: str, record: PartRecord, inputs: list[str], folder: str, frame: Mapping[str, Any]
) -> dict[str, Any]:
    """Describe an encoder. `folder` holds its tokenizer; all encoders share the tables of characters."""
    return {
        "name": name,
        "model": _model(record),
        "inputs": inputs,
        "output": "last_hidden_state",
        "tokenizer": {
            "file": f"{folder}/tokenizer.json",
            "characters": "tokenizer/characters.json",
            **frame,
        },
    }


def _schedule(name: str, record: PartRecord) -> dict[str, Any]:
    return {"table": f"schedules/{name}.bin", **record.facts}


def _router(checkpoint: Checkpoint, record: PartRecord, experts: Mapping[str, Any]) -> dict[str, Any]:
    codes = len(checkpoint.architectures)
    # The graph gives similarities whatever the checkpoint calls its router.
    encoder = PROMPT if checkpoint.record.prompt_encoder == PROMPT_ENCODER else TEXT
    router = {"kind": "cosine", "encoder": encoder, "model": _model(record)}
    fallback = {"fallback": DENSE} if DENSE in experts else {}
    rule = checkpoint.record.out_of_distribution
    guard = {"out_of_distribution": asdict(rule)} if rule else {}
    return {**router, "codes": codes, "tie": TIE, **fallback, **guard}


def _defaults(schedules: Mapping[str, Any]) -> dict[str, Any]:
    solver = next(name for name in DEFAULT_SOLVERS if name in schedules)
    offered = [steps for steps, rows in enumerate(schedules[solver]["rows"], start=1) if rows]
    return {"solver": solver, "steps": min(offered, key=lambda steps: abs(steps - STEPS))}


def _latent(checkpoint: Checkpoint) -> dict[str, int]:
    height, width = checkpoint.latent_size
    multiple = checkpoint.latent_multiple
    return {
        "channels": checkpoint.unet_config["in_channels"],
        "height": height,
        "width": width,
        "multiple": multiple,
        "minimum": _SMALLEST_STEPS * multiple,
        "maximum": _LARGEST * max(height, width),
    }
