"""The parser of the manifest (docs/BUNDLE.md, version 3.0).

Refuses what the page does not allow, and references to what is not there. Any bytes give a `Manifest` or a
`ManifestError`.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from runtime.bundle import compiled, earned
from runtime.bundle.schema import (
    DENSE,
    GUIDANCE,
    BundleSource,
    Conditioning,
    Decoder,
    Defaults,
    EncoderEntry,
    Expert,
    Latent,
    Manifest,
    Model,
    OutOfDistribution,
    RouterEntry,
    Schedule,
    TokenizerEntry,
)
from runtime.errors import ManifestError, nearest
from runtime.files.strict_json import (
    Fields,
    as_integer,
    as_number,
    as_text,
    check_surrogates,
    decode,
    refuse_reserved,
)
from runtime.files.verified import FileEntry, check_path

MAJOR, MINOR = 3, 0
KINDS = ("pipeline",)
MANIFEST, SIGNATURE = "manifest.json", "manifest.sha256"
# What the format keeps for later; the release that fills one of these takes it out of the table.
RESERVED = {
    "kind=network": "this release reads bundles of kind 'pipeline'",
    "choices": "this release serves none; build the bundle without",
    "router.bins": "this release routes by the prompt alone; build the bundle without",
    "conditioning.*.output": "this release feeds an encoder's one output; build the bundle without",
    "conditioning.*.request": "this release feeds encoders' outputs only; build the bundle without",
}
ENCODER_INPUTS = ("input_ids", "attention_mask")
LIMITS = {
    "channels": 64,
    "side": 4096,
    "length": 4096,
    "codes": 1024,
    "rows": 10_000,
    "window": 4,
    "scale": 64,
}


def parse(data: bytes) -> Manifest:
    """Parse the manifest in `data`. Raises `ManifestError`, and nothing else, whatever the bytes."""
    value = decode(data, MANIFEST, ManifestError)
    check_surrogates(value, MANIFEST, ManifestError)
    top = Fields(value, "manifest", ManifestError)
    top.text("format", choices=("aptp-bundle",))
    version = top.text("version")
    top.lenient = _minor(version) > MINOR
    refuse_reserved(value, "manifest", RESERVED, ManifestError)
    top.text("kind", choices=KINDS)
    manifest = Manifest(
        version=version,
        producer=top.each("producer", lambda key, item, where: as_text(item, where, ManifestError)),
        source=_source(top.fields("source")),
        defaults=_defaults(top.fields("defaults")),
        latent=_latent(top.fields("latent")),
        encoders=_named(top.objects("encoders", _encoder)),
        conditioning=top.objects("conditioning", _conditioning),
        router=_router(top.fields("router")),
        decoder=_decoder(top.fields("decoder")),
        dense_macs=top.integer("dense_macs", 1),
        experts=top.table("experts", _expert),
        schedules=top.table("schedules", _schedule),
        files=top.table("files", _entry),
    )
    top.close()
    _check_references(manifest)
    return manifest


def _minor(version: str) -> int:
    match = re.fullmatch(r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})", version, re.ASCII)
    if not match:
        raise ManifestError(f"manifest.version: {version[:64]!a} is not major.minor")
    if int(match[1]) != MAJOR:
        raise ManifestError(
            f"manifest.version: this bundle is version {version}, and this reader knows {MAJOR}.x; "
            "update aptp, or build the bundle again with the version you have"
        )
    return int(match[2])


def _source(fields: Fields) -> BundleSource:
    source = BundleSource(fields.text("name"), fields.digest("checkpoint"), fields.flag("trained"))
    fields.close()
    return source


def _defaults(fields: Fields) -> Defaults:
    defaults = Defaults(
        fields.text("solver"), fields.integer("steps", 1, LIMITS["rows"]), fields.number("guidance")
    )
    if not 0 <= defaults.guidance <= GUIDANCE:
        raise fields.error("guidance", f"{defaults.guidance:g} is outside 0 to {GUIDANCE:g}")
    fields.close()
    return defaults


def _latent(fields: Fields) -> Latent:
    side = LIMITS["side"]
    latent = Latent(
        channels=fields.integer("channels", 1, LIMITS["channels"]),
        height=fields.integer("height", 1, side),
        width=fields.integer("width", 1, side),
        multiple=fields.integer("multiple", 1, side),
        minimum=fields.integer("minimum", 1, side),
        maximum=fields.integer("maximum", 1, side),
    )
    for name, value in (("height", latent.height), ("width", latent.width)):
        if value % latent.multiple or not latent.minimum <= value <= latent.maximum:
            raise fields.error(name, f"{value} breaks the rules that multiple, minimum and maximum set")
    fields.close()
    return latent


def _model(fields: Fields) -> Model:
    def path(name: str) -> str | None:
        return check_path(fields.text(name), f"{fields.where}.{name}") if fields.has(name) else None

    graph = check_path(fields.text("graph"), f"{fields.where}.graph")
    model = Model(graph, fields.digest("identity"), path("weights"), path("serve"))
    if model.weights and PurePosixPath(model.weights).parent != PurePosixPath(graph).parent:
        raise fields.error("weights", "must lie in the same folder as the graph")
    if model.serve and not model.weights:
        raise fields.error("serve", "needs weights")
    if len(set(model.paths)) < len(model.paths):
        raise ManifestError(f"{fields.where}: names one file twice; graph, weights and serve must differ")
    fields.close()
    return model


def _encoder(fields: Fields) -> EncoderEntry:
    def input_name(value: Any, where: str) -> str:
        name = as_text(value, where, ManifestError)
        if name not in ENCODER_INPUTS:
            raise ManifestError(
                f"{where}: {name[:64]!a} is not an encoder input{nearest(name, ENCODER_INPUTS)}"
            )
        return name

    encoder = EncoderEntry(
        name=fields.text("name"),
        model=_model(fields.fields("model")),
        inputs=fields.items("inputs", input_name),
        output=fields.text("output"),
        tokenizer=_tokenizer(fields.fields("tokenizer")),
    )
    if len(set(encoder.inputs)) < len(encoder.inputs):
        raise fields.error("inputs", "names an input twice")
    fields.close()
    return encoder


def _named(encoders: tuple[EncoderEntry, ...]) -> dict[str, EncoderEntry]:
    result = {encoder.name: encoder for encoder in encoders}
    if len(result) < len(encoders):
        raise ManifestError("manifest.encoders: two encoders have the same name")
    return result


def _tokenizer(fields: Fields) -> TokenizerEntry:
    def path(name: str) -> str:
        return check_path(fields.text(name), f"{fields.where}.{name}")

    tokenizer = TokenizerEntry(
        file=path("file"),
        characters=path("characters"),
        length=fields.integer("length", 2, LIMITS["length"]),
        bos=fields.integer("bos"),
        eos=fields.integer("eos"),
        pad=fields.integer("pad"),
    )
    fields.close()
    return tokenizer


def _conditioning(fields: Fields) -> Conditioning:
    conditioning = Conditioning(fields.text("input"), fields.text("encoder"))
    if conditioning.input in ("sample", "timestep", "time_embedding"):
        raise fields.error("input", f"{conditioning.input!r} is not a conditioning input")
    fields.close()
    return conditioning


def _router(fields: Fields) -> RouterEntry:
    router = RouterEntry(
        kind=fields.text("kind", choices=("cosine",)),
        encoder=fields.text("encoder"),
        model=_model(fields.fields("model")),
        codes=fields.integer("codes", 1, LIMITS["codes"]),
        tie=fields.number("tie"),
        fallback=fields.text("fallback") if fields.has("fallback") else None,
        out_of_distribution=_out_of_distribution(fields),
    )
    if router.tie < 0:
        raise fields.error("tie", "must not be negative")
    fields.close()
    return router


def _out_of_distribution(router: Fields) -> OutOfDistribution | None:
    if not router.has("out_of_distribution"):
        return None
    fields = router.fields("out_of_distribution")
    rule = OutOfDistribution(fields.number("threshold"), fields.text("expert"))
    if rule.threshold <= 0:
        raise fields.error("threshold", "must be above 0")
    fields.close()
    return rule


def _decoder(fields: Fields) -> Decoder:
    decoder = Decoder(
        model=_model(fields.fields("model")),
        scale=fields.integer("scale", 1, LIMITS["scale"]),
        scaling_factor=fields.number("scaling_factor"),
        shift_factor=fields.number("shift_factor"),
        preview=fields.items("preview", _colour) if fields.has("preview") else None,
    )
    if decoder.scaling_factor == 0:
        raise fields.error("scaling_factor", "must not be zero")
    fields.close()
    return decoder


def _colour(value: Any, where: str) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise ManifestError(f"{where}: must be a list of numbers")
    return tuple(as_number(item, f"{where}[{index}]", ManifestError) for index, item in enumerate(value))


def _expert(fields: Fields) -> Expert:
    expert = Expert(
        model=_model(fields.fields("model")),
        clock=_model(fields.fields("clock")),
        parameters=fields.integer("parameters"),
        macs=fields.integer("macs"),
        earned=fields.objects("earned", earned.parse) if fields.has("earned") else (),
        compiled=fields.objects("compiled", compiled.parse) if fields.has("compiled") else (),
        gates=compiled.parse_gates(fields.fields("gates")) if fields.has("gates") else None,
        int8=_model(fields.fields("int8")) if fields.has("int8") else None,
    )
    if expert.model.serve is None:
        raise fields.error("model.serve", "is missing; experts are served by it")
    if expert.int8 and (expert.int8.serve or not expert.int8.weights):
        raise fields.error("int8", "must have graph, weights and identity, and no serve")
    earned.check(expert.earned, expert.int8 is not None, fields.where)
    fields.close()
    return expert


def _schedule(fields: Fields) -> Schedule:
    schedule = Schedule(
        table=check_path(fields.text("table"), f"{fields.where}.table"),
        window=fields.integer("window", 1, LIMITS["window"]),
        rows=fields.items(
            "rows", lambda item, where: as_integer(item, where, ManifestError, 0, LIMITS["rows"])
        ),
        noise_scale=fields.items("noise_scale", lambda item, where: as_number(item, where, ManifestError)),
    )
    if len(schedule.rows) != len(schedule.noise_scale):
        raise fields.error(
            "noise_scale", f"has {len(schedule.noise_scale)} items, and rows has {len(schedule.rows)}"
        )
    fields.close()
    return schedule


def _entry(fields: Fields) -> FileEntry:
    entry = FileEntry(fields.integer("size"), fields.digest("sha256"))
    fields.close()
    return entry


def _check_references(manifest: Manifest) -> None:
    for path in manifest.files:
        check_path(path, "manifest.files")
        if path in (MANIFEST, SIGNATURE):
            raise ManifestError(f"manifest.files: must not list {path}")
    models = {
        "router": manifest.router.model,
        "decoder": manifest.decoder.model,
        **{f"encoders {name!r}": encoder.model for name, encoder in manifest.encoders.items()},
        **{f"experts {name!r}": expert.model for name, expert in manifest.experts.items()},
        **{f"experts {name!r}.clock": expert.clock for name, expert in manifest.experts.items()},
        **{f"experts {name!r}.int8": each.int8 for name, each in manifest.experts.items() if each.int8},
    }
    for where, model in models.items():
        for path in model.paths:
            _known(path, manifest.files, where, "file")
        if model.serve and model.weights and manifest.files[model.weights].size % 2:
            raise ManifestError(
                f"manifest.{where}: {model.weights} has an odd size, and float16 has two bytes"
            )
    for name, encoder in manifest.encoders.items():
        for path in (encoder.tokenizer.file, encoder.tokenizer.characters):
            _known(path, manifest.files, f"encoders {name!r}", "file")
    for entry in manifest.conditioning:
        _known(entry.encoder, manifest.encoders, "conditioning", "encoder")
    if len({entry.input for entry in manifest.conditioning}) < len(manifest.conditioning):
        raise ManifestError("manifest.conditioning: an input is fed twice")
    _known(manifest.router.encoder, manifest.encoders, "router", "encoder")
    _check_preview(manifest)
    _check_experts(manifest)
    _check_schedules(manifest)


def _check_preview(manifest: Manifest) -> None:
    wanted = [manifest.latent.channels + 1] * 3
    if manifest.decoder.preview is not None and [*map(len, manifest.decoder.preview)] != wanted:
        raise ManifestError(f"manifest.decoder.preview: must be 3 rows of {wanted[0]} numbers")


def _known(name: str, known: Mapping[str, Any], where: str, kind: str) -> None:
    if name not in known:
        hint = nearest(name, known) if len(known) <= 1000 else ""
        raise ManifestError(f"manifest.{where}: names the {kind} {name[:64]!a}, which is not there{hint}")


def _check_experts(manifest: Manifest) -> None:
    if not manifest.experts:
        raise ManifestError("manifest.experts: must name at least one expert")
    codes = {str(code) for code in range(manifest.router.codes)} | {DENSE}
    for name in manifest.experts:
        if name not in codes:
            raise ManifestError(
                f"manifest.experts: {name[:64]!a} is not {DENSE!r} nor a code of {manifest.router.codes}"
            )
    for name, expert in manifest.experts.items():
        compiled.check(expert, manifest.files, f"manifest.experts {name!r}")
    compiled.check_supernets(manifest.experts)
    if DENSE in manifest.experts and manifest.experts[DENSE].macs != manifest.dense_macs:
        raise ManifestError("manifest.dense_macs: is not what the expert 'dense' takes")
    rule = manifest.router.out_of_distribution
    if rule is not None:
        _known(rule.expert, dict.fromkeys(codes), "router.out_of_distribution", "expert")
    if manifest.router.fallback is not None:
        _known(manifest.router.fallback, manifest.experts, "router", "expert")


def _check_schedules(manifest: Manifest) -> None:
    for name, schedule in manifest.schedules.items():
        where = f"schedules {name[:64]!a}"
        _known(schedule.table, manifest.files, where, "file")
        size = 4 * (4 + 2 * schedule.window) * sum(schedule.rows)
        if manifest.files[schedule.table].size != size:
            raise ManifestError(f"manifest.{where}: {schedule.table} must have {size} bytes")
    defaults = manifest.defaults
    _known(defaults.solver, manifest.schedules, "defaults", "solver")
    rows = manifest.schedules[defaults.solver].rows
    if defaults.steps > len(rows) or not rows[defaults.steps - 1]:
        raise ManifestError(f"manifest.defaults: {defaults.solver!r} does not offer {defaults.steps} steps")
