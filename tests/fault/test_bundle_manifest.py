"""A4: whatever the manifest's bytes, there is a bundle or a `ManifestError`, quickly and in little memory."""

import json
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.bundle.manifest import parse
from runtime.bundle.reader import Bundle
from runtime.errors import ManifestError
from tests.bundles import edit, sign_bytes, write_bundle

MUTATIONS = 10_000
SECONDS = 60
MEGABYTES = 200

STRANGE: list[Any] = [
    *(
        None,
        True,
        -1,
        0,
        1,
        2**53,
        2**53 + 1,
        2**64,
        -(2**70),
        0.5,
        -0.0,
        1e308,
        "",
        "\0",
        "\ud800",
        "x" * 5000,
    ),
    *([], {}, [[]], {"": {}}, ["x"], [1, "x", None], {"x": 1}, "../x", "1.0", "99.0", "dense", [0] * 1000),
]
LITERALS = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"9" * 5000,
    b"[" * 100_000,
    b'{"a":' * 1000,
    b'"\\ud800"',
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("manifest") / "bundle", experts=["0", "dense"])


@pytest.fixture(scope="module")
def data(root: Path) -> bytes:
    return (root / "manifest.json").read_bytes()


def flip(draw: random.Random, data: bytes) -> bytes:
    result = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 8])):
        result[draw.randrange(len(result))] ^= 1 << draw.randrange(8)
    return bytes(result)


def splice(draw: random.Random, data: bytes) -> bytes:
    start, end = sorted(draw.choices(range(len(data)), k=2))
    return draw.choice([data[:start], data[:start] + data[end:], data[:end] + data[start:]])


def literal(draw: random.Random, data: bytes) -> bytes:
    """A hostile literal in the place of some value."""
    places = [index for index, byte in enumerate(data) if byte == ord(":")]
    start = draw.choice(places) + 1
    end = min(index for index in (data.find(b",", start), data.find(b"}", start), len(data)) if index > 0)
    return data[:start] + draw.choice(LITERALS) + data[end:]


def containers(value: Any) -> list[Any]:
    found = [value] if isinstance(value, dict | list) and value else []
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        found += containers(item)
    return found


def restructure(draw: random.Random, data: bytes) -> bytes:
    """A well-formed document with a wrong value, a missing field, or one more."""
    manifest = json.loads(data)
    box = draw.choice(containers(manifest))
    key = draw.choice(list(box)) if isinstance(box, dict) else draw.randrange(len(box))
    match draw.randrange(4):
        case 0:
            del box[key]
        case 1 if isinstance(box, dict):
            box[draw.choice(["x", "verison", "", "a" * 100, "\ud800", key + "s"])] = draw.choice(STRANGE)
        case _:
            box[key] = draw.choice(STRANGE)
    return json.dumps(manifest).encode()


def duplicate(draw: random.Random, data: bytes) -> bytes:
    index = draw.choice([index for index, byte in enumerate(data) if byte == ord("{")])
    return data[: index + 1] + b'"version": "3.0", "version": "3.0",' + data[index + 1 :]


def test_10000_mutations(root: Path, data: bytes) -> None:
    draw, refused = random.Random(0), 0
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    for trial in range(MUTATIONS):
        mutation: Callable[[random.Random, bytes], bytes] = draw.choice(
            [flip, splice, literal, restructure, duplicate]
        )
        document = mutation(draw, data)
        try:
            if trial % 20:
                parse(document)
            else:  # signed, and through the disk
                sign_bytes(root, document)
                Bundle.open(root)
        except ManifestError:
            refused += 1
    sign_bytes(root, data)
    assert refused > 0.9 * MUTATIONS  # the rest changed a number or a name into another good one
    assert time.perf_counter() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1024


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="deep objects"),
        pytest.param(b'{"format":"' + b"x" * 100_000_000 + b'"}', id="100 MB string"),
        pytest.param(b'{"format":' + b"9" * 4_000_000 + b"}", id="huge integer"),
        pytest.param(b"\xff\xfe{}", id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="an empty object"),
        pytest.param(b'{"' + b"a" * 4_000_000 + b'":1, "format":"aptp-bundle"}', id="huge key"),
    ],
)
def test_extreme_documents(root: Path, data: bytes, document: bytes) -> None:
    sign_bytes(root, document)
    try:
        with pytest.raises(ManifestError) as refusal:
            Bundle.open(root)
    finally:
        sign_bytes(root, data)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("version", ["1.0", "2.1", "4.0", "0.9", "99.1"])
def test_an_unknown_major_version_is_refused(data: bytes, version: str) -> None:
    with pytest.raises(ManifestError, match="reader knows 3.x"):
        parse(data.replace(b'"version": "3.0"', f'"version": "{version}"'.encode()))


@pytest.mark.parametrize(
    "version", ["3", "3.", "3.0.0", "03.0", "3.-1", "3.a", " 3.0", "3.0\n", "\u0663.0", "3.99999"]
)
def test_a_malformed_version_is_refused(data: bytes, version: str) -> None:
    document = json.loads(data)
    document["version"] = version
    with pytest.raises(ManifestError, match="version"):
        parse(json.dumps(document).encode())


def add_unknown_fields(manifest: dict[str, Any]) -> None:
    for box in containers(manifest):
        # The keys of these are names, not fields.
        free = (manifest["producer"], manifest["experts"], manifest["schedules"], manifest["files"])
        if isinstance(box, dict) and not any(box is other for other in free):
            box["novelty"] = {"any": ["thing"]}


def test_unknown_fields_are_ignored_only_from_a_newer_minor(root: Path, data: bytes) -> None:
    edit(root, add_unknown_fields)
    try:
        with pytest.raises(ManifestError, match="unknown field 'novelty'"):
            Bundle.open(root)
        edit(root, lambda manifest: manifest.update(version="3.1"))
        assert Bundle.open(root).manifest.version == "3.1"
        edit(root, lambda manifest: manifest.update(version="3.7"))
        assert Bundle.open(root).manifest.version == "3.7"
    finally:
        sign_bytes(root, data)
