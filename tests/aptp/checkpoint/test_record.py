"""aptp.json: round trip, and one error for every rule."""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aptp.checkpoint.integrity import FileEntry
from aptp.checkpoint.record import CodeRecord, OutOfDistributionRule, Record, parse
from runtime.errors import CheckpointError

RECORD = Record(
    name="small",
    trained=False,
    size=(64, 64),
    depth=("up_blocks.0.resnets.1",),
    feed_forward_gates=32,
    codes=(CodeRecord(0.5, {"a": "101"}, {"up_blocks.0.resnets.1": True}),),
    guidance=3.0,
    provenance={"seed": 0},
    files={"unet/config.json": FileEntry(3, "0" * 64)},
)


def changed(**fields: Any) -> bytes:
    body = json.loads(RECORD.to_json())
    body.update(fields)
    return json.dumps({key: value for key, value in body.items() if value is not ...}).encode()


def test_round_trip() -> None:
    assert parse(RECORD.to_json()) == RECORD
    guarded = replace(RECORD, unfamiliar=OutOfDistributionRule(1.5, "dense"))
    assert parse(guarded.to_json()) == guarded
    assert b"unfamiliar" not in RECORD.to_json()


def test_writing_is_deterministic() -> None:
    assert RECORD.to_json() == replace(RECORD, provenance={"seed": 0}).to_json()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "other"}, "format is not aptp-checkpoint"),
        ({"version": "2.0"}, "version 2.0; this software reads 1.0"),
        ({"nmae": 1}, r"unknown field 'nmae' \(did you mean 'name'"),
        ({"name": ...}, "lacks the field 'name'"),
        ({"name": 3}, "'name' must be a str"),
        ({"trained": 1}, "'trained' must be a bool"),
        ({"size": [64]}, r"'size' must be \[height, width\]"),
        ({"size": [64, 0]}, r"'size' must be \[height, width\]"),
        ({"depth": [1]}, "'depth' must hold strs"),
        ({"guidance": "7"}, "'guidance' must be a number from 0 to 1000"),
        ({"guidance": True}, "'guidance' must be a number"),
        ({"guidance": -1}, "'guidance' must be a number"),
        ({"guidance": 1001}, "'guidance' must be a number"),
        ({"router": "gumbel"}, "unknown router 'gumbel'; this version knows 'cosine' and 'gated'"),
        ({"prompt_encoder": "mpnet"}, "unknown prompt_encoder 'mpnet'"),
        ({"codes": [{"budget": 1.0}]}, "code 0 must have budget, widths and depths"),
        ({"codes": [{"budget": 0, "widths": {}, "depths": {}}]}, r"not in \(0, 1\]"),
        ({"codes": [{"budget": True, "widths": {}, "depths": {}}]}, r"not in \(0, 1\]"),
        ({"unfamiliar": 1.5}, "'unfamiliar' must be a dict"),
        ({"unfamiliar": {"beyond": 1.5}}, "'unfamiliar' must have beyond and expert"),
        ({"unfamiliar": {"beyond": 0, "expert": "0"}}, "beyond 0, which is not a number above 0"),
        ({"unfamiliar": {"beyond": 1.5, "expert": "1"}}, "the expert '1'; there is dense, 0"),
        ({"files": {"a": {"size": 1}}}, "a must have size and sha256"),
        ({"files": {"a": {"size": 1, "sha256": "XY"}}}, "no lower-case SHA-256"),
    ],
)
def test_one_error_per_rule(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        parse(changed(**fields))


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "a//b",
        ".",
        "",
        "a\0b",
        "x" * 5000,
        "C:\\x",
        "..\\x",
        "\uff0e\uff0e/x",
        "a/",
    ],
)
def test_paths_that_leave_the_checkpoint(path: str) -> None:
    with pytest.raises(CheckpointError, match="not a relative path"):
        parse(changed(files={path: {"size": 0, "sha256": "0" * 64}}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not the JSON"),
        (b"\xff", "not the JSON"),
        (b"[" * 100_000, "not the JSON"),
        (b"[]", "aptp.json is not an object"),
        (b'{"a": 1, "a": 2}', "a key appears twice"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b" " * (17 << 20), "larger than"),
    ],
)
def test_bytes_that_are_no_index(data: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        parse(data)


@settings(max_examples=300)
@given(st.data())
def test_only_one_kind_of_error_comes_out(data: st.DataObject) -> None:
    index = bytearray(RECORD.to_json())
    for _ in range(data.draw(st.integers(1, 4))):
        index[data.draw(st.integers(0, len(index) - 1))] = data.draw(st.integers(0, 255))
    with suppress(CheckpointError):
        parse(bytes(index))
