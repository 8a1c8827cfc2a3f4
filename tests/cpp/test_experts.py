"""Manifests on experts, their clocks and what they have earned: C++ says what Python says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bundles import write_bundle
from tests.cpp.test_manifests import changed, compare

EARNED = {"engine": "openvino", "precision": "bfloat16", "processor": "avx512_bf16"}
GOOD: list[Callable[[dict[str, Any]], Any]] = [
    lambda one: one.update(earned=[EARNED]),
    lambda one: one.update(earned=[EARNED, EARNED | {"processor": "a b"}, EARNED | {"precision": "float16"}]),
    lambda one: one.update(earned=[EARNED, EARNED | {"engine": "größer"}]),
    lambda one: one["clock"].update(graph="experts/1/unet/clock.onnx"),
]
BAD: list[Callable[[dict[str, Any]], Any]] = [
    lambda one: one.update(earned=[]),
    lambda one: one.update(earned={}),
    lambda one: one.update(earned=["openvino"]),
    lambda one: one.update(earned=[EARNED, EARNED]),
    *(lambda one, name=name: one.update(earned=[{**EARNED, name: ""}]) for name in EARNED),
    *(lambda one, name=name: one.update(earned=[{**EARNED, name: None}]) for name in EARNED),
    *(
        lambda one, name=name: one.update(earned=[{k: EARNED[k] for k in EARNED if k != name}])
        for name in EARNED
    ),
    lambda one: one.update(earned=[EARNED | {"precision": "float32"}]),
    lambda one: one.update(earned=[EARNED | {"precision": "bfloat61"}]),
    lambda one: one.update(earned=[EARNED | {"processor": "größe"}]),
    lambda one: one.update(earned=[EARNED | {"processor": "a\n"}]),
    lambda one: one.update(earned=[EARNED | {"error": 0.01}]),
    lambda one: one.update(reduced_precision=["openvino"]),
    lambda one: one.pop("clock"),
    lambda one: one.update(clock="experts/0/unet/clock.onnx"),
    lambda one: one["clock"].pop("identity"),
    lambda one: one["clock"].update(graph="nowhere"),
    lambda one: one["clock"].update(serve="experts/0/unet/serve.onnx"),
    lambda one: one["clock"].update(weights="nowhere"),
    lambda one: one["model"].pop("serve"),
    lambda one: (one["model"].pop("serve"), one["model"].pop("weights")),
]


def documents(root: Path, changes: list[Callable[[dict[str, Any]], Any]]) -> list[bytes]:
    data = (write_bundle(root) / "manifest.json").read_bytes()
    return [changed(data, lambda m, change=change: change(m["experts"]["0"])) for change in changes]


def test_what_is_allowed(program: Callable[[str], Path], tmp_path: Path) -> None:
    answers = compare(program("manifests"), tmp_path / "m", documents(tmp_path / "bundle", GOOD))
    assert all("error" not in wanted for wanted, _ in answers)


def test_what_is_refused_has_the_same_messages(program: Callable[[str], Path], tmp_path: Path) -> None:
    answers = compare(program("manifests"), tmp_path / "m", documents(tmp_path / "bundle", BAD))
    assert all(wanted["error"] == "ManifestError" for wanted, _ in answers)
    assert not [pair for pair in answers if pair[0] != pair[1]]
    told = [wanted["message"] for wanted, _ in answers]
    assert told[-1] == "manifest.experts '0'.model.serve: is missing; experts are served by it"
    assert any("names one engine, precision and processor twice" in message for message in told)


def test_a_clock_has_to_be_there(program: Callable[[str], Path], tmp_path: Path) -> None:
    data = (write_bundle(tmp_path / "bundle") / "manifest.json").read_bytes()
    unlisted = changed(data, lambda m: m["files"].pop("experts/3/unet/clock.onnx"))
    ((wanted, found),) = compare(program("manifests"), tmp_path / "m", [unlisted])
    assert wanted == found
    assert "experts '3'.clock: names the file" in found["message"]


def test_the_past_is_not_read(program: Callable[[str], Path], tmp_path: Path) -> None:
    data = (write_bundle(tmp_path / "bundle") / "manifest.json").read_bytes()
    older = [
        changed(data, lambda m, version=version: m.update(version=version))
        for version in ("2.0", "2.1", "4.0")
    ]
    for wanted, found in compare(program("manifests"), tmp_path / "m", older):
        assert wanted == found
        assert "this reader knows 3.x" in found["message"]
