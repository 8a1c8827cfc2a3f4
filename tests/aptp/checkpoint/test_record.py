"""aptp.json: round trip, and one error for every rule."""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aptp.checkpoint.record import RESERVED as KEPT
from aptp.checkpoint.record import CodeRecord, OutOfDistributionRule, Record, parse
from runtime.errors import CheckpointError
from runtime.files.verified import FileEntry

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


# What the format keeps for later, each with the reason why this release refuses it.
RESERVED: list[tuple[dict[str, Any], str]] = [
    ({"kind": "network"}, "aptp.json.kind 'network': this release reads checkpoints of kind 'pipeline'"),
    ({"text_encoder": {"widths": {}}}, "aptp.json.text_encoder: this release prunes the UNet alone"),
    ({"bins": [0.0]}, "aptp.json.bins: this release routes by the prompt alone"),
    ({"choices": []}, "aptp.json.choices: this release knows none"),
]


def changed(**fields: Any) -> bytes:
    body = json.loads(RECORD.to_json())
    body.update(fields)
    return json.dumps({key: value for key, value in body.items() if value is not ...}).encode()


def test_round_trip() -> None:
    assert parse(RECORD.to_json()) == RECORD
    guarded = replace(RECORD, out_of_distribution=OutOfDistributionRule(1.5, "dense"))
    assert parse(guarded.to_json()) == guarded
    assert b"out_of_distribution" not in RECORD.to_json()


def test_every_field_that_is_kept_for_later_has_a_case() -> None:
    assert len(RESERVED) == len(KEPT)


def test_writing_is_deterministic() -> None:
    assert RECORD.to_json() == replace(RECORD, provenance={"seed": 0}).to_json()


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"format": "other"}, "format is not aptp-checkpoint"),
    ({"version": "1.0"}, "version 1.0; this software reads 3.0: update it, or make the checkpoint again"),
    ({"kind": ...}, "the field 'kind' is missing"),
    ({"kind": "pipelines"}, r"kind: 'pipelines' is not one of 'pipeline' \(did you mean"),
    *RESERVED,
    ({"nmae": 1}, r"unknown field 'nmae' \(did you mean 'name'"),
    ({"name": ...}, "the field 'name' is missing"),
    ({"name": 3}, "name: must be a string"),
    ({"trained": 1}, "trained: must be true or false"),
    ({"size": [64]}, r"size: must be \[height, width\] in pixels"),
    ({"size": [64, 0]}, r"size\[1\]: 0 is outside 1 to"),
    ({"depth": [1]}, r"depth\[0\]: must be a string"),
    ({"guidance": "7"}, "guidance: must be a number, not a string"),
    ({"guidance": True}, "guidance: must be a number"),
    ({"guidance": -1}, "guidance: must be a number from 0 to 1000, not -1"),
    ({"guidance": 1001}, "guidance: must be a number from 0 to 1000"),
    ({"router": "gumbel"}, "router: 'gumbel' is not one of 'cosine', 'gated'"),
    ({"prompt_encoder": "mpnet"}, "prompt_encoder: 'mpnet' is not one of"),
    ({"codes": [{"budget": 1.0}]}, r"codes\[0\]: the field 'widths' is missing"),
    ({"codes": [{"budget": 0, "widths": {}, "depths": {}}]}, r"codes\[0\].budget: 0 is not in \(0, 1\]"),
    ({"codes": [{"budget": True, "widths": {}, "depths": {}}]}, "budget: must be a number"),
    ({"codes": [{"budget": 1, "widths": {}, "depths": {}, "a": 1}]}, "unknown field 'a'"),
    ({"out_of_distribution": 1.5}, "out_of_distribution: must be an object"),
    ({"out_of_distribution": {"threshold": 1.5}}, "out_of_distribution: the field 'expert' is missing"),
    ({"out_of_distribution": {"threshold": 0, "expert": "0"}}, "threshold: 0 is not a number above 0"),
    (
        {"out_of_distribution": {"threshold": 1.5, "expert": "1"}},
        "expert: '1' is not one of 'dense', '0'",
    ),
    ({"files": {"a": {"size": 1}}}, "files 'a': the field 'sha256' is missing"),
    ({"files": {"a": {"size": -1, "sha256": "0" * 64}}}, "files 'a'.size: -1 is outside 0 to"),
    ({"files": {"a": {"size": 1, "sha256": "XY"}}}, "must be 64 lower-case hexadecimal digits"),
]


@pytest.mark.parametrize(("fields", "message"), BROKEN)
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
    with pytest.raises(
        CheckpointError, match="not a path inside the checkp|a string of 1 to 4096|holds a NUL"
    ):
        parse(changed(files={path: {"size": 0, "sha256": "0" * 64}}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not UTF-8 JSON"),
        (b"\xff", "not UTF-8 JSON"),
        (b"[" * 100_000, "nested deeper than 32 levels"),
        (b'{"a": ' * 40 + b"1" + b"}" * 40, "nested deeper than 32 levels"),
        (b"[]", "aptp.json: the top level must be an object"),
        (b'{"a": 1, "a": 2}', "aptp.json: the key 'a' appears twice"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": %d}' % 2**54, "aptp.json: the integer .* is beyond 2.53"),
        (rb'{"a": "\ud800"}', "holds half of a surrogate pair"),
        (b" " * (17 << 20), "at most 4194304 are allowed"),
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
