"""Each rule of the manifest: what breaks it, and what the error says. Random damage is in tests/fault."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from runtime.bundle.manifest import RESERVED as KEPT
from runtime.bundle.manifest import parse
from runtime.errors import ManifestError
from tests.bundles import PREVIEW

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def data(bundle_path: Path) -> bytes:
    return (bundle_path / "manifest.json").read_bytes()


def test_every_value_arrives(data: bytes) -> None:
    manifest, document = parse(data), json.loads(data)
    assert manifest.version == "3.0"
    assert dict(manifest.producer) == document["producer"]
    assert manifest.source.trained is False
    assert (manifest.defaults.solver, manifest.defaults.steps, manifest.defaults.guidance) == ("ddim", 4, 2.5)
    assert (manifest.latent.channels, manifest.latent.multiple, manifest.latent.maximum) == (4, 4, 16)
    assert manifest.encoders["text"].inputs == ("input_ids",)
    assert manifest.encoders["text"].tokenizer.length == 8
    assert manifest.conditioning[0].input == "encoder_hidden_states"
    assert (manifest.router.codes, manifest.router.tie, manifest.router.fallback) == (4, 1e-5, None)
    assert (manifest.decoder.scale, manifest.decoder.scaling_factor) == (2, 0.5)
    assert manifest.decoder.preview == tuple(map(tuple, PREVIEW))
    assert manifest.dense_macs == 100_000
    assert set(manifest.experts) == {"0", "1", "2", "3", "dense"}
    assert manifest.schedules["plms"].window == 4
    assert {path: (entry.size, entry.sha256) for path, entry in manifest.files.items()} == {
        path: (entry["size"], entry["sha256"]) for path, entry in document["files"].items()
    }


def expert(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest["experts"]["0"]


def put(box: Any, **values: Any) -> None:
    box.update(values)


EARNED = {"engine": "openvino", "precision": "bfloat16", "processor": "amx_bf16"}

SHOWN = {"metric": "all", "images": 2400, "difference": 0.0, "low": -0.01, "high": 0.01, "bar": -0.02}
JUDGED = {**EARNED, "precision": "int8", "rung": [SHOWN]}
INT8 = {"graph": "experts/0/unet/model.onnx", "weights": "experts/0/unet/serve.onnx", "identity": "8" * 64}


def judged(manifest: dict[str, Any], **changes: Any) -> None:
    """Let expert 0 have eight bits, and have earned them by what images show, with `changes` to that."""
    put(expert(manifest), int8=INT8, earned=[{**JUDGED, "rung": [{**SHOWN, **changes}]}])


# What the format keeps for later, each with the reason why this release refuses it.
RESERVED: list[tuple[str, Change, str]] = [
    (
        "network",
        lambda m: put(m, kind="network"),
        "manifest.kind 'network': this release reads bundles of kind 'p",
    ),
    (
        "choices",
        lambda m: put(m, choices=[]),
        "manifest.choices: this release serves none; build the bundle w",
    ),
    (
        "bins",
        lambda m: put(m["router"], bins=[0.0]),
        "manifest.router.bins: this release routes by the prompt",
    ),
    (
        "second output",
        lambda m: put(m["conditioning"][0], output="text_embeds"),
        r"manifest.conditioning\[0\].output: this release feeds an encoder's one output",
    ),
    (
        "added condition",
        lambda m: m["conditioning"].append({"input": "time_ids", "request": "sizes"}),
        r"manifest.conditioning\[1\].request: this release feeds encoders' outputs only",
    ),
]
BROKEN: list[tuple[str, Change, str]] = [
    ("format", lambda m: put(m, format="zip"), r"manifest.format: 'zip' is not one of 'aptp-bundle'"),
    (
        "kind",
        lambda m: put(m, kind="pipelines"),
        r"kind: 'pipelines' is not one of 'pipeline' \(did you mean",
    ),
    ("no kind", lambda m: m.pop("kind"), "manifest: the field 'kind' is missing"),
    *RESERVED,
    (
        "misspelt field",
        lambda m: put(m, rooter=m["router"]),
        r"unknown field 'rooter' \(did you mean 'router'\?\)",
    ),
    ("missing field", lambda m: m.pop("decoder"), "the field 'decoder' is missing"),
    (
        "inner unknown",
        lambda m: put(m["latent"], heigth=1),
        r"manifest.latent: unknown field 'heigth' .*'height'",
    ),
    ("producer", lambda m: put(m["producer"], aptp=1), "manifest.producer 'aptp': must be a string"),
    ("flag", lambda m: put(m["source"], trained=0), "must be true or false, not a number"),
    ("boolean as integer", lambda m: put(m["defaults"], steps=True), "must be an integer, not a boolean"),
    ("float as integer", lambda m: put(m["defaults"], steps=4.0), "must be an integer, not a number"),
    ("negative guidance", lambda m: put(m["defaults"], guidance=-1), "guidance: -1 is outside 0 to 1000"),
    ("large guidance", lambda m: put(m["defaults"], guidance=1001), "guidance: 1001 is outside 0 to 1000"),
    ("checkpoint", lambda m: put(m["source"], checkpoint="0" * 63), "checkpoint: must be 64 lower-case hex"),
    (
        "unknown solver",
        lambda m: put(m["defaults"], solver="ddin"),
        r"solver 'ddin', which is not there .*'ddim'",
    ),
    ("steps not offered", lambda m: put(m["defaults"], steps=11), "'ddim' does not offer 11 steps"),
    ("odd height", lambda m: put(m["latent"], height=9), "manifest.latent.height: 9 breaks the rules"),
    ("large width", lambda m: put(m["latent"], width=20), "manifest.latent.width: 20 breaks the rules"),
    ("no encoders", lambda m: put(m, encoders=[]), "manifest.encoders: must be a list of at least one item"),
    ("twin encoders", lambda m: put(m, encoders=m["encoders"] * 2), "two encoders have the same name"),
    ("encoder input", lambda m: put(m["encoders"][0], inputs=["input_id"]), "did you mean 'input_ids'"),
    ("input twice", lambda m: put(m["encoders"][0], inputs=["input_ids"] * 2), "names an input twice"),
    ("short frame", lambda m: put(m["encoders"][0]["tokenizer"], length=1), "1 is outside 2 to"),
    ("conditioning name", lambda m: put(m["conditioning"][0], input="sample"), "is not a conditioning input"),
    ("conditioning twice", lambda m: put(m, conditioning=m["conditioning"] * 2), "an input is fed twice"),
    (
        "conditioning encoder",
        lambda m: put(m["conditioning"][0], encoder="txt"),
        "encoder 'txt', which is not there",
    ),
    (
        "router encoder",
        lambda m: put(m["router"], encoder="mpnet"),
        "manifest.router: names the encoder 'mpnet'",
    ),
    ("router kind", lambda m: put(m["router"], kind="dot"), "'dot' is not one of 'cosine'"),
    ("router tie", lambda m: put(m["router"], tie=-1e-5), "tie: must not be negative"),
    (
        "router out of distribution",
        lambda m: put(m["router"], out_of_distribution={"threshold": 1.5, "expert": "4"}),
        "manifest.router.out_of_distribution: names the expert '4'",
    ),
    (
        "router threshold",
        lambda m: put(m["router"], out_of_distribution={"threshold": 0, "expert": "dense"}),
        "out_of_distribution.threshold: must be above 0",
    ),
    ("router fallback", lambda m: put(m["router"], fallback="4"), "manifest.router: names the expert '4'"),
    ("decoder scale", lambda m: put(m["decoder"], scale=0), "0 is outside 1 to"),
    ("scaling factor", lambda m: put(m["decoder"], scaling_factor=0), "must not be zero"),
    ("preview of two", lambda m: put(m["decoder"], preview=PREVIEW[:2]), "preview: must be 3 rows of 5"),
    (
        "preview of three channels",
        lambda m: put(m["decoder"], preview=[row[1:] for row in PREVIEW]),
        "preview: must be 3 rows of 5 numbers",
    ),
    (
        "preview of words",
        lambda m: put(m["decoder"], preview=["r", "g", "b"]),
        r"preview\[0\]: must be a list",
    ),
    (
        "preview of nothing",
        lambda m: put(m["decoder"], preview=[[None] * 5] * 3),
        r"preview\[0\]\[0\]: must be a number",
    ),
    ("no dense MACs", lambda m: put(m, dense_macs=0), "manifest.dense_macs: 0 is outside 1 to"),
    ("another dense", lambda m: put(m, dense_macs=1), "manifest.dense_macs: is not what the expert 'dense'"),
    ("no experts", lambda m: put(m, experts={}), "at least one expert"),
    (
        "served by nothing",
        lambda m: (expert(m)["model"].pop("serve"), expert(m)["model"].pop("weights")),
        "experts '0'.model.serve: is missing; experts are served by it",
    ),
    ("no clock", lambda m: expert(m).pop("clock"), "experts '0': the field 'clock' is missing"),
    ("no graph of the clock", lambda m: expert(m)["clock"].pop("graph"), "clock: the field 'graph' is miss"),
    (
        "clock elsewhere",
        lambda m: put(expert(m)["clock"], graph="experts/0/unet/clack.onnx"),
        r"experts '0'.clock: names the file 'experts/0/unet/clack.onnx', which is not there .*clock.onnx",
    ),
    ("nothing earned", lambda m: put(expert(m), earned=[]), "earned: must be a list of at least one item"),
    ("earned by a word", lambda m: put(expert(m), earned=["openvino"]), r"earned\[0\]: must be an object"),
    (
        "earned twice",
        lambda m: put(expert(m), earned=[EARNED, EARNED]),
        "experts '0'.earned: names one engine, precision and processor twice",
    ),
    (
        "float32 earned",
        lambda m: put(expert(m), earned=[{**EARNED, "precision": "float32"}]),
        r"earned\[0\].precision: 'float32' is not one of 'bfloat16', 'float16', 'int8'",
    ),
    (
        "earned on no processor",
        lambda m: put(expert(m), earned=[{**EARNED, "processor": "amx\n"}]),
        r"earned\[0\].processor: must be printable ASCII",
    ),
    (
        "more than earned",
        lambda m: put(expert(m), earned=[{**EARNED, "version": "2026.1"}]),
        r"earned\[0\]: unknown field 'version'",
    ),
    (
        "int8 without images",
        lambda m: put(expert(m), int8=INT8, earned=[{**EARNED, "precision": "int8"}]),
        r"earned\[0\]: the field 'rung' is missing",
    ),
    (
        "images of a precision that is close",
        lambda m: put(expert(m), earned=[{**EARNED, "rung": [SHOWN]}]),
        r"earned\[0\]: unknown field 'rung'",
    ),
    (
        "a rung of nothing",
        lambda m: put(expert(m), earned=[{**JUDGED, "rung": []}]),
        "rung: must be a list of at",
    ),
    ("a rung without images", lambda m: judged(m, images=0), r"rung\[0\].images: 0 is outside 1 to"),
    ("a difference outside", lambda m: judged(m, difference=0.2), "difference: must lie within low and high"),
    ("an interval below its bar", lambda m: judged(m, low=-0.03), r"rung\[0\].low: must be above bar"),
    (
        "int8 earned without int8",
        lambda m: put(expert(m), earned=[JUDGED]),
        "experts '0'.earned: int8 is for engine 'openvino' and an expert with int8",
    ),
    (
        "int8 earned by another engine",
        lambda m: put(expert(m), int8=INT8, earned=[{**JUDGED, "engine": "cpu"}]),
        "experts '0'.earned: int8 is for engine 'openvino' and an expert with int8",
    ),
    (
        "int8 without weights",
        lambda m: put(expert(m), int8={"graph": INT8["graph"], "identity": "8" * 64}),
        "experts '0'.int8: must have graph, weights and identity, and no serve",
    ),
    (
        "int8 elsewhere",
        lambda m: put(expert(m), int8={**INT8, "graph": "experts/0/unet/int8.xml"}),
        "experts '0'.int8: names the file 'experts/0/unet/int8.xml', which is not there",
    ),
    ("reduced precision of old", lambda m: put(expert(m), reduced_precision=["openvino"]), "unknown field"),
    (
        "an input that the clock feeds",
        lambda m: put(m["conditioning"][0], input="timestep"),
        "'timestep' is not a conditioning input",
    ),
    (
        "an input that the clock gives",
        lambda m: put(m["conditioning"][0], input="time_embedding"),
        "'time_embedding' is not a conditioning input",
    ),
    ("code too high", lambda m: put(m["experts"], **{"4": expert(m)}), "'4' is not 'dense' nor a code of 4"),
    ("leading zero", lambda m: put(m["experts"], **{"00": expert(m)}), "'00' is not 'dense'"),
    ("unlisted file", lambda m: m["files"].pop("experts/0/unet/serve.onnx"), "experts '0': names the file"),
    (
        "weights elsewhere",
        lambda m: put(expert(m)["model"], weights="router/model.onnx"),
        "in the same folder",
    ),
    ("serve alone", lambda m: expert(m)["model"].pop("weights"), "serve: needs weights"),
    (
        "serve is the graph",
        lambda m: put(expert(m)["model"], serve="experts/0/unet/model.onnx"),
        "experts '0'.model: names one file twice",
    ),
    ("identity", lambda m: put(expert(m)["model"], identity="A" * 64), "64 lower-case hexadecimal digits"),
    ("odd weights", lambda m: put(m["files"]["experts/0/unet/model.onnx.data"], size=7), "odd size"),
    ("table size", lambda m: put(m["files"]["schedules/ddim.bin"], size=4), r"must have \d+ bytes"),
    (
        "rows",
        lambda m: m["schedules"]["ddim"]["rows"].append(1),
        "noise_scale: has 10 items, and rows has 11",
    ),
    ("window", lambda m: put(m["schedules"]["ddim"], window=5), "5 is outside 1 to 4"),
    ("hash", lambda m: put(m["files"]["router/model.onnx"], sha256="0"), "64 lower-case hexadecimal digits"),
    ("size", lambda m: put(m["files"]["router/model.onnx"], size=-1), "-1 is outside 0 to"),
    (
        "its own entry",
        lambda m: put(m["files"], **{"manifest.json": {"size": 1, "sha256": "0" * 64}}),
        "must not list",
    ),
    ("long string", lambda m: put(m["source"], name="x" * 4097), "1 to 4096 characters"),
    ("nul", lambda m: put(m["source"], name="a\0"), "holds a NUL"),
    ("surrogate", lambda m: put(m["source"], name="\ud800"), "half of a surrogate pair"),
    ("empty key", lambda m: put(m["producer"], **{"": "1"}), "producer '': must be a string of 1 to 4096"),
    ("long key", lambda m: put(m["producer"], **{"x" * 4097: "1"}), "must be a string of 1 to 4096"),
    ("nul in a key", lambda m: put(m["schedules"], **{"a\0": {}}), r"'a\\x00': holds a NUL"),
    ("surrogate in a key", lambda m: put(m["producer"], **{"\ud800": "1"}), "half of a surrogate pair"),
    ("big integer", lambda m: put(expert(m), macs=2**53 + 1), "beyond 2\\^53"),
    ("depth", lambda m: put(m, x=json.loads("[" * 40 + "]" * 40)), "nested deeper than 32 levels"),
    ("one too deep", lambda m: put(m, x=json.loads("[" * 32 + "]" * 32)), "nested deeper than 32 levels"),
    ("deep enough", lambda m: put(m, x=json.loads("[" * 31 + "]" * 31)), "unknown field 'x'"),
    ("no characters", lambda m: m["encoders"][0]["tokenizer"].pop("characters"), "'characters' is missing"),
    (
        "characters elsewhere",
        lambda m: put(m["encoders"][0]["tokenizer"], characters="characters.json"),
        "encoders 'text': names the file 'characters.json', which is not there",
    ),
    ("an older version", lambda m: put(m, version="2.1"), "is version 2.1, and this reader knows 3.x"),
    (
        "surrogate where anything may be",
        lambda m: put(m, version="3.9", novelty="\ud800"),
        "half of a surrogate pair",
    ),
]


def test_what_the_format_keeps_for_later_is_refused_by_a_newer_minor_too(data: bytes) -> None:
    assert len(RESERVED) == len(KEPT)
    for _, change, message in RESERVED:
        document = json.loads(data)
        change(document)
        document["version"] = "3.7"
        with pytest.raises(ManifestError, match=message):
            parse(json.dumps(document).encode())


def test_what_experts_earned_arrives(data: bytes) -> None:
    document = json.loads(data)
    expert(document)["earned"] = [EARNED, {**EARNED, "processor": "avx512_bf16"}]
    manifest = parse(json.dumps(document).encode())
    of = [("openvino", "bfloat16", "amx_bf16"), ("openvino", "bfloat16", "avx512_bf16")]
    assert [(one.engine, one.precision, one.processor) for one in manifest.experts["0"].earned] == of
    assert manifest.experts["1"].earned == ()
    assert manifest.experts["0"].clock.graph == "experts/0/unet/clock.onnx"


def test_what_images_showed_arrives(data: bytes) -> None:
    document = json.loads(data)
    judged(document)
    found = parse(json.dumps(document).encode()).experts["0"]
    assert found.int8 is not None
    assert (found.int8.paths, found.int8.identity) == ((INT8["graph"], INT8["weights"]), "8" * 64)
    (entry,) = found.earned
    assert [asdict(one) for one in entry.rung] == [SHOWN]


def test_a_share_is_of_the_dense_cost(data: bytes) -> None:
    document = json.loads(data)
    expert(document)["macs"] = 62_500
    manifest = parse(json.dumps(document).encode())
    assert (manifest.share("0"), manifest.share("dense")) == (0.625, 1.0)


@pytest.mark.parametrize(("change", "message"), [pytest.param(*case[1:], id=case[0]) for case in BROKEN])
def test_broken_rules(data: bytes, change: Change, message: str) -> None:
    document = json.loads(data)
    change(document)
    with pytest.raises(ManifestError, match=message):
        parse(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"format": NaN}', "NaN is not a number"),
        (b'{"format": -Infinity}', "-Infinity is not a number"),
        (b'{"format": 1e999}', "the number 1e999 is too large"),
        (b'{"a": 1, "a": 1}', "the key 'a' appears twice"),
        (b'{"a": {"b": 1, "b": 2}}', "the key 'b' appears twice"),
        (b"\xff", "not UTF-8 JSON"),
        (b'{"a": 1} x', "not UTF-8 JSON"),
        (b" " * (4 * 1024 * 1024 + 1), "at most 4194304 are allowed"),
    ],
)
def test_documents_that_are_not_strict_json(text: bytes, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        parse(text)
