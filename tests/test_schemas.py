"""The JSON Schemas in docs/schemas say of a document what its reader says, but for what no schema can say."""

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from aptp.checkpoint import record
from aptp.default import FOLDER as DEFAULT
from aptp.space import profile_file
from runtime.bundle import manifest
from runtime.errors import AptpError
from runtime.files.strict_json import check_surrogates, decode
from tests.aptp.checkpoint import test_record as checkpoints
from tests.aptp.space import test_profile_file as profiles
from tests.bundles import add_int8, add_supernet, edit, write_bundle
from tests.fault.test_bundle_manifest import containers, restructure
from tests.runtime.bundle import test_manifest as manifests
from tests.runtime.engines.test_supernet import CODES

SCHEMAS = Path(__file__).parent.parent / "docs" / "schemas"
MUTATIONS = 400
# JSON Schema takes 1.0 for an integer. The readers do not, and nor does any writer of ours.
CHECKER = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
Strict = extend(Draft202012Validator, type_checker=CHECKER)

NEWER = "the schema is that of this version; a reader takes documents of a newer minor version as well"
REFERENCE = "a name, and what it names elsewhere in the document"
DIGEST = "a digest of other values"
SUM = "a limit that another value sets"


@dataclass(frozen=True, slots=True)
class Format:
    """A format, its reader, and where reader and schema are allowed to differ.

    `beyond`: the messages of refusals that no schema can give, `looser`: the places (`/`-joined) where the
    reader takes more; each a pattern with its reason.
    """

    read: Callable[[bytes], object]
    beyond: dict[str, str]
    looser: dict[str, str]


FORMATS = {
    "bundle": Format(
        manifest.parse,
        {
            r"names the (file|encoder|expert|solver) .* which is not there": REFERENCE,
            r"experts: '\d+' is not 'dense' nor a code of": REFERENCE,
            "encoders: two encoders have the same name": REFERENCE,
            "conditioning: an input is fed twice": REFERENCE,
            "must lie in the same folder as the graph": REFERENCE,
            "names one file twice": REFERENCE,
            "is a second .* engine for the same target": REFERENCE,
            "its supernet is not that of the other experts": REFERENCE,
            "gates: is missing; a supernet follows": REFERENCE,
            "gates: (are not as many as|must all be 1)": REFERENCE,
            "dense_macs: is not what the expert 'dense' takes": REFERENCE,
            r"\.identity: is not that of this model": DIGEST,
            "breaks the rules that multiple, minimum and maximum set": SUM,
            r"preview: must be 3 rows of \d+ numbers": SUM,
            r"noise_scale: has \d+ items, and rows has": SUM,
            r"must have \d+ bytes|has an odd size": SUM,
            "does not offer .* steps": SUM,
            r"must be \d+ bits in \d+ hexadecimal digits": SUM,
            "must be three integers, least, usual and most, none below": SUM,
            "earned: names one engine, precision and processor twice": REFERENCE,
            "earned: int8 is for engine 'openvino' and an expert with int8": REFERENCE,
            "must lie within low and high|low: must be above bar": SUM,
        },
        {"version": NEWER},
    ),
    "checkpoint": Format(
        record.parse,
        {r"out_of_distribution.expert: '\d+' is not one of 'dense'": REFERENCE},
        {
            "version": NEWER,
            "codes/[0-9]+/(widths|depths)/.*": "`Checkpoint.open` reads masks, against the UNet",
        },
    ),
    "profile": Format(
        profile_file.parse,
        {
            "samples are by gates kept, from 0 to": SUM,
            "samples: must have some with 1 gate kept, and with all": SUM,
            "counts the same gates twice": REFERENCE,
        },
        {"version": NEWER},
    ),
}


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    return {name: json.loads((SCHEMAS / f"{name}.schema.json").read_bytes()) for name in FORMATS}


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    """Documents that readers take; in the first every optional field appears."""
    root = write_bundle(tmp_path_factory.mktemp("schemas") / "bundle", experts=["0", "dense"])
    plain = (root / "manifest.json").read_bytes()
    add_supernet(root, {name: CODES[name] for name in ("0", "dense")}, data=b"no engine at all")

    def enrich(document: dict[str, Any]) -> None:
        rule = {"threshold": 1.5, "expert": "3"}
        document["router"].update(fallback="dense", out_of_distribution=rule)
        document["experts"]["0"]["earned"] = [manifests.EARNED, manifests.JUDGED]

    add_int8(root, ["0"])
    edit(root, enrich)

    def shorten(body: dict[str, Any]) -> None:
        body.update(parts=body["parts"][:3], wholes=body["wholes"][:1])

    guarded = {"out_of_distribution": {"threshold": 1.5, "expert": "dense"}}
    return {
        "bundle": [(root / "manifest.json").read_bytes(), plain],
        "checkpoint": [checkpoints.changed(**guarded), (DEFAULT / "aptp.json").read_bytes()],
        "profile": [profiles.changed(shorten)],
    }


def broken(name: str, document: bytes) -> Iterator[bytes]:
    """The documents with which the readers' own tests break one rule each."""
    if name == "checkpoint":
        yield from (checkpoints.changed(**fields) for fields, _ in checkpoints.BROKEN)
        return
    changes = [change for _, change, _ in manifests.BROKEN] if name == "bundle" else []
    for change in changes or [change for change, _ in profiles.BROKEN]:
        body = json.loads(document)
        change(body)
        yield json.dumps(body).encode()


def each_field(document: bytes) -> Iterator[bytes]:
    """The document without each of its fields, and with one more in each of its objects."""
    boxes = containers(json.loads(document))
    for index, box in enumerate(boxes):
        if not isinstance(box, dict):
            continue
        for key in box:
            body = json.loads(document)
            del containers(body)[index][key]
            yield json.dumps(body).encode()
        body = json.loads(document)
        containers(body)[index]["novelty"] = {}
        yield json.dumps(body).encode()


def disagreement(form: Format, validator: Any, data: bytes) -> str | None:
    """How reader and schema differ about a document in a way that is not listed, or None."""
    try:
        document = decode(data, "document", AptpError, most=profile_file.MAX_BYTES)
        check_surrogates(document, "document", AptpError)
    except AptpError:
        return None  # a schema is of values, and these bytes have none
    try:
        form.read(data)
    except AptpError as refusal:
        listed = any(re.search(pattern, str(refusal)) for pattern in form.beyond)
        return None if listed or not validator.is_valid(document) else f"only the reader refuses: {refusal}"
    for error in validator.iter_errors(document):
        place = "/".join(map(str, error.absolute_path))
        if not any(re.fullmatch(pattern, place) for pattern in form.looser):
            return f"only the schema refuses: {place}: {error.message:.200}"
    return None


@pytest.mark.parametrize("name", FORMATS)
def test_what_the_readers_take_is_valid(
    name: str, schemas: dict[str, Any], valid: dict[str, list[bytes]]
) -> None:
    Draft202012Validator.check_schema(schemas[name])
    for data in valid[name]:
        FORMATS[name].read(data)
        Draft202012Validator(schemas[name]).validate(json.loads(data))


@pytest.mark.parametrize("name", FORMATS)
def test_readers_and_schemas_agree(name: str, schemas: dict[str, Any], valid: dict[str, list[bytes]]) -> None:
    draw, validator = random.Random(19), Strict(schemas[name])
    documents = [*broken(name, valid[name][0]), *each_field(valid[name][0])]
    documents += [restructure(draw, draw.choice(valid[name])) for _ in range(MUTATIONS)]
    found = [disagreement(FORMATS[name], validator, data) for data in documents]
    assert [text for text in found if text][:5] == []


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_kept_for_later_is_not_valid(
    name: str, schemas: dict[str, Any], valid: dict[str, list[bytes]]
) -> None:
    cases: dict[str, list[bytes]] = {
        "bundle": [*(_changed(valid["bundle"][0], change) for _, change, _ in manifests.RESERVED)],
        "checkpoint": [checkpoints.changed(**fields) for fields, _ in checkpoints.RESERVED],
        "profile": [],
    }
    assert not any(Strict(schemas[name]).is_valid(json.loads(data)) for data in cases[name])


def _changed(document: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    body = json.loads(document)
    change(body)
    return json.dumps(body).encode()
