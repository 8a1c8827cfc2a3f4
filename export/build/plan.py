"""The plan of a build: its parts, and their identities, by which finished parts are reused.

A part's key is the SHA-256 of everything it is made from: the checkpoint's published hashes, its place in the
pipeline, this software's own source and the versions of the libraries that write graphs. The engine that
parity is shown on changes no byte of a part, so it is not in the key, but a part shown on another is made
again. Nothing else decides: neither times nor the mere existence of a file.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aptp.checkpoint.ood_file import NAME as DETECTOR
from aptp.checkpoint.reader import Checkpoint
from aptp.checkpoint.record import PROMPT_ENCODER
from aptp.default import FOLDER, default_prompts
from export.engines import calibration, int8, manifest_entry, supernet
from export.tables.solvers import SOLVERS
from runtime.bundle.compiled import KINDS, SUPERNET
from runtime.bundle.earned import INT8
from runtime.engines import openvino
from runtime.engines.precision import PRECISIONS
from runtime.engines.providers import onnxruntime
from runtime.errors import Refused, UsageError, nearest
from runtime.formats import DENSE
from runtime.machine import processor

GRAPHS, OPENVINO = "onnx", "openvino"  # graphs are always built: every machine can run them
ENGINES = (GRAPHS, OPENVINO, *KINDS)
PIPELINES = ("StableDiffusionPipeline",)
LIBRARIES = ("torch", "onnx", "onnx-ir", "onnxscript", "diffusers", "transformers", "tokenizers")
# Our own code that decides what is in a part, or whether it passes.
SOURCES = (
    "aptp/components/*.py",
    "aptp/model/*.py",
    "aptp/space/*.py",
    "export/graphs/*.py",
    "export/tables/*.py",
    "export/build/parts.py",
    "export/parity/*.py",
    "export/engines/*.py",
    "export/engines/tensorrt/*.py",
    "export/lint/*.py",
    "kernels/attention/*.py",
)
# What a process costs before its model: torch, diffusers and onnxruntime loaded, and room for activations.
_BASE_MEMORY = 900 << 20


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """The checked request of a build."""

    checkpoint: Path
    out: Path
    codes: tuple[str, ...]
    solvers: tuple[str, ...]
    engines: tuple[str, ...]  # besides the graphs
    precision: str | None  # of these; None: what suits this machine; int8: besides that
    cache: Path | None
    jobs: int
    threads: int
    memory: int  # bytes
    cache_group_writable: bool = False
    calibration: tuple[str, ...] = ()  # prompts to quantize on


@dataclass(frozen=True, slots=True)
class Part:
    """One unit of work.

    `components` of the checkpoint are read for it; parity is `shown_on` an engine, or on none; `memory` and
    `disk` are bytes at the peak, both estimates; `effort` is relative to the others'; `facts` are known of it
    before it is made.
    """

    name: str
    kind: str
    key: str
    components: tuple[str, ...]
    shown_on: str
    memory: int
    disk: int
    effort: float
    needs: tuple[str, ...] = ()  # the parts that it is made from, or shown beside
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def item(self) -> str:
        """The last word of the name: a code, a solver."""
        return self.name.rpartition("/")[2]


def parse_codes(text: str, count: int) -> tuple[str, ...]:
    """Return `all`, `dense`, `0,3` or `all,dense` as expert names, in order, each once. Raises UsageError."""
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
    """Parse a comma-separated list of solvers, or all of them. Raises UsageError."""
    if text is None:
        return tuple(SOLVERS)
    names = tuple(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))
    for name in names:
        if name not in SOLVERS:
            raise UsageError(
                f"--solvers: unknown solver {name!r}{nearest(name, SOLVERS)}; known: {', '.join(SOLVERS)}"
            )
    if not names:
        raise UsageError(f"--solvers: names no solver; known: {', '.join(SOLVERS)}")
    return names


def parse_engines(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list of engines, without the graphs; `auto` is OpenVINO where it can be had.

    Raises UsageError, Refused.
    """
    if text == "auto":
        return () if openvino.missing() else (OPENVINO,)
    names = tuple(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))
    for name in names:
        if name not in ENGINES:
            raise UsageError(
                f"--engines: unknown engine {name!r}{nearest(name, ('auto', *ENGINES))}; "
                f"known: {', '.join(('auto', *ENGINES))}"
            )
    if OPENVINO in names and (reason := openvino.missing()):
        raise Refused(f"--engines {OPENVINO}: {reason}; use onnx or auto")
    return tuple(name for name in names if name != GRAPHS)


def parse_calibration(
    given: Sequence[str] | None, precision: str | None, checkpoint: Path
) -> tuple[str, ...]:
    """Return the prompts to quantize on: those `given`, by default those of the default checkpoint.

    Raises UsageError where they are needed and none are known, or are too few, or are not needed.
    """
    if precision != INT8:
        if given is not None:
            raise UsageError(f"--calibration: is for --precision {INT8}; leave it out")
        return ()
    if given is None and checkpoint != FOLDER:
        raise UsageError(
            f"--precision {INT8}: give prompts like those to be served with --calibration FILE, at least "
            f"{calibration.PROMPTS}, one a line"
        )
    prompts = default_prompts() if given is None else given
    if len(set(prompts)) < calibration.PROMPTS:
        raise UsageError(
            f"--calibration: has {len(set(prompts))} prompts; give at least {calibration.PROMPTS}"
        )
    return tuple(dict.fromkeys(prompts))[: calibration.PROMPTS]


def check_pipeline(checkpoint: Checkpoint) -> None:
    """Refuse a pipeline that this package has no graphs for. Raises Refused, CheckpointError, SpaceError."""
    if checkpoint.pipeline not in PIPELINES:
        raise Refused(
            f"{checkpoint.path}: {checkpoint.pipeline} cannot be exported; what can is {', '.join(PIPELINES)}"
        )
    checkpoint.check_servable()


def parts(checkpoint: Checkpoint, spec: BuildSpec) -> list[Part]:
    """Return everything the bundle is made of: first what no bundle can do without, so that its failure shows
    early, and last what is small, so that the processes end together.
    """
    common = {"software": software()}
    experts = [_expert(checkpoint, name, common) for name in spec.codes]
    shared = [
        _shared(checkpoint, "encoder", "text_encoder", ["text_encoder", "tokenizer"], common),
        _shared(checkpoint, "decoder", "vae_decoder", ["vae", "unet/config.json"], common),
        _router(checkpoint, common),
        _shared(checkpoint, "tokenizer", "tokenizer", ["tokenizer"], common),
    ]
    if checkpoint.record.prompt_encoder == PROMPT_ENCODER:
        shared.append(_shared(checkpoint, PROMPT_ENCODER, PROMPT_ENCODER, [PROMPT_ENCODER], common))
    schedules = [_schedule(checkpoint, solver, common) for solver in spec.solvers]
    kinds = [kind for kind in spec.engines if kind not in (OPENVINO, SUPERNET)]
    compiled = [_compiled(expert, kind, checkpoint, spec) for kind in kinds for expert in experts]
    if OPENVINO in spec.engines:
        facts = openvino_here(None if spec.precision == INT8 else spec.precision)
        compiled = [*(earned(expert, facts) for expert in experts), *compiled]
    if spec.precision == INT8:
        compiled += [_quantized(expert, checkpoint, spec) for expert in experts]
    if SUPERNET in spec.engines:
        compiled.append(_supernet(experts, checkpoint, spec))
    return [*shared, *reversed(experts), *schedules, *compiled]


def image_part(expert: Part, others: list[Part]) -> Part:
    """Plan rung 4 for one expert: it makes no file, and holds for exactly these parts together."""
    key = _key({"image": expert.key, "with": sorted(part.key for part in others)})
    name = f"images/{expert.item}"
    return replace(expert, name=name, kind="image", key=key, shown_on=_onnxruntime(), effort=3.0)


def openvino_here(precision: str | None) -> dict[str, str]:
    """Return what is to be shown of OpenVINO here: in bfloat16, where nobody says otherwise and it computes
    in it.

    Raises UsageError, Refused.
    """
    if precision is not None and precision not in PRECISIONS:
        raise UsageError(
            f"--precision: openvino has no {precision!r}{nearest(precision, PRECISIONS)}; "
            f"known: {', '.join(PRECISIONS)}"
        )
    if precision and not openvino.computes_in(precision):
        raise Refused(
            f"--precision {precision}: this processor ({processor.vectors()}) does not compute in it, so "
            "OpenVINO cannot earn it here; use float32, or leave precision out"
        )
    suiting = "bfloat16" if openvino.computes_in("bfloat16") else "float32"
    return {
        "engine": OPENVINO,
        "precision": precision or suiting,
        "processor": processor.vectors(),
        "version": importlib.metadata.version("openvino"),
    }


def earned(expert: Part, facts: Mapping[str, Any]) -> Part:
    """Plan the part that shows what an engine may compute the expert in on a class of processor: on its
    graphs, without files.

    `facts` name engine, precision, processor and version.
    """
    shown = {name: facts[name] for name in ("engine", "precision", "processor", "version")}
    return replace(
        expert,
        name=f"earned/{facts['engine']}/{facts['processor']}/{expert.item}",
        kind=OPENVINO,
        key=_key({"expert": expert.key, **shown}),
        shown_on="{engine} {version} ({processor})".format(**shown),
        disk=0,
        effort=6.0,
        needs=(expert.name,),
        facts=shown,
    )


def _quantized(expert: Part, checkpoint: Checkpoint, spec: BuildSpec) -> Part:
    """Plan an expert in eight bits, which NNCF makes of its graph. Raises UsageError, Refused."""
    if OPENVINO not in spec.engines and not openvino.missing():
        raise UsageError(f"--precision {INT8}: is {OPENVINO}'s; name it in --engines, or leave precision out")
    if reason := int8.missing():
        raise Refused(f"--precision {INT8}: {reason}")
    made_by = {name: importlib.metadata.version(name) for name in ("nncf", "openvino")}
    shared = {name: checkpoint.digest(name) for name in ("text_encoder", "tokenizer", "scheduler")}
    weights = (expert.memory - _BASE_MEMORY) // 3
    return replace(
        expert,
        name=f"{INT8}/{expert.item}",
        kind=INT8,
        key=_key({"expert": expert.key, **made_by, **shared, "prompts": spec.calibration}),
        components=(*expert.components, "text_encoder", "tokenizer", "scheduler", "vae"),
        shown_on="",
        memory=_BASE_MEMORY + 5 * weights,
        disk=weights,
        effort=60.0,
        needs=(expert.name,),
    )


def software() -> dict[str, str]:
    """Return the versions of the libraries that shape a graph, and the digest of our own source. Raises
    Refused.
    """
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    root = Path(__file__).parents[2]
    total = hashlib.sha256()
    for pattern in SOURCES:
        found = sorted(root.glob(pattern))
        if not found:  # a file that was moved would leave the identity without a word
            raise Refused(f"{root / pattern}: there is no such source; install aptp again, whole")
        for path in found:
            total.update(path.name.encode() + path.read_bytes())
    return {**versions, "source": total.hexdigest()}


def _onnxruntime() -> str:
    """Return the kind and version of what graphs are shown on."""
    return f"cpu (onnxruntime {onnxruntime().__version__})"


def _expert(checkpoint: Checkpoint, name: str, common: Mapping[str, Any]) -> Part:
    component = "unet" if name == DENSE else f"experts/{name}"
    key = _key(
        {
            **common,
            "weights": checkpoint.digest(component),
            "dense": checkpoint.digest("unet/config.json"),
            "code": None if name == DENSE else checkpoint.architectures[int(name)].digest(),
            "tokens": checkpoint.tokenizer["length"],
            "size": checkpoint.latent_size,
        }
    )
    # Rung 1 holds the dense UNet twice and the expert once, all in float32.
    size = _float32_bytes(checkpoint, "unet")
    components = tuple(dict.fromkeys((component, "unet")))
    memory = _BASE_MEMORY + 3 * size
    return Part(f"experts/{name}", "expert", key, components, _onnxruntime(), memory, 2 * size, 12.0)


def _compiled(expert: Part, kind: str, checkpoint: Checkpoint, spec: BuildSpec) -> Part:
    """Plan an expert compiled for this machine; compilers hold the weights several times over."""
    wanted = manifest_entry.wanted(kind, checkpoint.latent_size, spec.precision)
    weights = (expert.memory - _BASE_MEMORY) // 3
    return Part(
        name=f"compiled/{kind}/{expert.item}",
        kind=kind,
        key=_key({"expert": expert.key, "compiled": wanted}),
        components=expert.components,
        shown_on=f"{kind} ({', '.join(f'{name} {value}' for name, value in wanted['target'].items())})",
        memory=_BASE_MEMORY + 4 * weights,
        disk=2 * weights,
        effort=60.0,
        needs=(expert.name,),
    )


def _supernet(experts: list[Part], checkpoint: Checkpoint, spec: BuildSpec) -> Part:
    """Plan the dense UNet under gates, compiled once. Raises Refused where experts are no slices of it."""
    supernet.check_slices(checkpoint, spec.codes)
    one = _compiled(experts[0], SUPERNET, checkpoint, spec)
    keys = [one.key, *(part.key for part in experts)]
    return replace(
        one,
        name=f"compiled/{SUPERNET}",
        key=_key({"supernet": keys, "dense": checkpoint.digest("unet")}),
        components=tuple(dict.fromkeys(name for part in experts for name in part.components)),
        needs=tuple(part.name for part in experts),
    )


def _shared(
    checkpoint: Checkpoint, kind: str, name: str, components: list[str], common: Mapping[str, Any]
) -> Part:
    digests = {component: checkpoint.digest(component) for component in components}
    size = _float32_bytes(checkpoint, components[0])
    effort = {"encoder": 3.0, PROMPT_ENCODER: 3.0, "decoder": 6.0}.get(kind, 1.0)
    key = _key({**common, "kind": kind, **digests})
    shown_on = "" if kind == "tokenizer" else _onnxruntime()
    return Part(name, kind, key, tuple(components), shown_on, _BASE_MEMORY + 3 * size, 2 * size, effort)


def _router(checkpoint: Checkpoint, common: Mapping[str, Any]) -> Part:
    """Plan the router, whose graph depends on the codes' space and on the encoder's number of tokens."""
    space = {"depth": checkpoint.record.depth, "feed_forward_gates": checkpoint.record.feed_forward_gates}
    reads = {"frame": checkpoint.routed_frame, "kind": checkpoint.record.router, **space}
    distance = [DETECTOR] if checkpoint.record.out_of_distribution else []
    components = ["router.safetensors", "unet/config.json", *distance]
    return _shared(checkpoint, "router", "router", components, {**common, **reads})


def _schedule(checkpoint: Checkpoint, solver: str, common: Mapping[str, Any]) -> Part:
    key = _key({**common, "solver": solver, "config": checkpoint.digest("scheduler")})
    return Part(f"schedules/{solver}", "schedule", key, ("scheduler",), "", _BASE_MEMORY // 2, 1 << 20, 2.0)


def _float32_bytes(checkpoint: Checkpoint, component: str) -> int:
    """Return an upper bound of a component's size as float32: as if its files held nothing but float16."""
    files = checkpoint.record.files.items()
    stored = sum(entry.size for name, entry in files if name == component or name.startswith(f"{component}/"))
    return 2 * stored


def _key(made_from: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
