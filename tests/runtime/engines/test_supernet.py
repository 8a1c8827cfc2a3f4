"""One engine for every code: what the manifest must say, and that rows of different codes share calls."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from runtime import Pipeline
from runtime.bench.workload import Workload
from runtime.bundle.reader import Bundle
from runtime.bundle.schema import SupernetGates
from runtime.engines import choice, target
from runtime.engines.aoti import AotiEngine
from runtime.errors import ManifestError
from runtime.models import sessions
from runtime.models.models import Models
from runtime.request.params import GenerationParams
from tests.bundles import WORDS, add_supernet, edit, identify, write_bundle
from tests.runtime import serial

CODES = {"0": "10010111", "1": "01010000", "2": "11100000", "3": "00000001", "dense": "11111111"}
DATA = b"machine code of all"


@pytest.fixture
def bundle_path(tmp_path: Path) -> Path:
    bundle = write_bundle(tmp_path / "bundle")
    add_supernet(bundle, CODES, data=DATA)
    return bundle


@pytest.mark.parametrize("text", ["1", "0110", "10000", "0000000011"])
def test_gates_are_written_and_read(text: str) -> None:
    gates = SupernetGates.of(one == "1" for one in text)
    assert (gates.count, len(gates.bits)) == (len(text), -(-len(text) // 4))
    assert "".join(map(str, gates.kept)) == text


def test_the_first_gate_is_the_highest_bit() -> None:
    assert SupernetGates.of([True, False, False, True, True]) == SupernetGates(5, "98")


def test_every_expert_has_its_code(bundle_path: Path) -> None:
    for name, expert in Bundle.open(bundle_path).manifest.experts.items():
        assert expert.gates is not None
        assert "".join(map(str, expert.gates.kept)) == CODES[name]


def recode(name: str, count: int, bits: str) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        manifest["experts"][name]["gates"] = {"count": count, "bits": bits}
        identify(manifest, name)

    return change


def reprofile(manifest: dict[str, Any]) -> None:
    manifest["experts"]["3"]["compiled"][0]["profile"]["batch"] = [1, 2, 8]
    identify(manifest, "3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (recode("1", 8, "5"), "'1'.gates.bits: must be 8 bits in 2 hexadecimal digits"),
        (recode("1", 8, "5A"), "must be 8 bits in 2 hexadecimal digits"),
        (recode("1", 7, "51"), "must be 7 bits in 2 hexadecimal digits, then 0"),
        (recode("1", 0, "0"), "'1'.gates.count: 0 is outside 1 to"),
        (recode("1", 4, "5"), "'1'.gates: are not as many as those of the other experts"),
        (recode("dense", 8, "fe"), "'dense'.gates: must all be 1"),
        (lambda m: m["experts"]["1"]["gates"].update(first=1), "unknown field 'first'"),
        (lambda m: m["experts"]["1"]["gates"].update(bits="51"), r"compiled\[0\].identity: is not that"),
        (lambda m: m["experts"]["1"].pop("gates"), "'1'.gates: is missing"),
        (lambda m: m["experts"]["1"].pop("compiled"), "'1'.compiled: its supernet is not that of the other"),
        (reprofile, "'3'.compiled: its supernet is not that of the other"),
    ],
)
def test_broken_rules(bundle_path: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    edit(bundle_path, change)
    with pytest.raises(ManifestError, match=message):
        Bundle.open(bundle_path)


class Recording:
    """An engine that keeps the gates of each call."""

    def __init__(self) -> None:
        self.gates: list[list[str]] = []

    def run(
        self, sample: np.ndarray, time_embedding: np.ndarray, conditioning: Mapping[str, Any]
    ) -> np.ndarray:
        assert {len(array) for array in conditioning.values()} == {len(sample)}
        self.gates.append(["".join(str(int(gate)) for gate in row) for row in conditioning["gates"]])
        return sample / 2


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Recording]:
    """The engines that were opened."""
    made: list[Recording] = []

    def open_it(path: Path, entry: Any, threads: int | None) -> Recording:
        assert path.name == "aoti.pt2"
        made.append(Recording())
        return made[-1]

    monkeypatch.setitem(sessions.OPENERS, "supernet", open_it)  # type: ignore[arg-type]
    monkeypatch.setattr(target, "mismatch", lambda entry: None)
    return made


def test_requests_of_different_codes_share_calls(
    bundle_path: Path, cache_path: Path, opened: list[Recording]
) -> None:
    models = Models.open(bundle_path, engine="supernet", cache=cache_path, batch=8)
    by_code = {models.route(word).code: word for word in WORDS}
    codes = sorted(by_code)[:2]
    images = serial.generate(
        models, [by_code[code] for code in codes], GenerationParams(steps=2, guidance=3.0)
    )
    assert len(set(codes)) == 2
    (engine,) = opened
    one, other = (CODES[str(code)] for code in codes)
    assert engine.gates == [[one, one, other, other]] * 2
    assert [(image.choice.expert, image.choice.code) for image in images] == [(str(c), c) for c in codes]


def test_its_memory_is_counted_once(bundle_path: Path, cache_path: Path, opened: list[Recording]) -> None:
    with Pipeline.open(bundle_path, engine="supernet", cache=cache_path) as runtime:
        experts = runtime.models.experts
        (bucket,) = {experts.key(name, 1, 8, 8) for name in CODES}
        assert experts.cost(bucket) == len(DATA)
        runtime.generate(WORDS, GenerationParams(steps=1))
        assert len(opened) == 1
        assert runtime.core.status().memory_used == experts.cost(bucket) + runtime.models.cost(
            runtime.models.decoder_bucket(8, 8)
        )


def test_other_engines_get_no_gates(bundle_path: Path, cache_path: Path) -> None:
    with Pipeline.open(bundle_path, engine="cpu", cache=cache_path) as runtime:
        assert runtime.models.experts.conditioning("0") == {}


def test_it_is_never_chosen_unasked(bundle_path: Path, opened: list[Recording]) -> None:
    manifest = Bundle.open(bundle_path).manifest
    assert choice.choose("auto", manifest) != "supernet"
    assert choice.missing("supernet", manifest) is None


def test_a_benchmark_gives_it_the_gates_of_the_expert_that_is_timed(
    bundle_path: Path, cache_path: Path, opened: list[Recording]
) -> None:
    with Pipeline.open(bundle_path, engine="supernet", cache=cache_path) as runtime:
        workload = Workload(runtime, GenerationParams(steps=1, guidance=1.0).resolve(runtime.bundle.manifest))
        workload.step("2", 3)()
        workload.loop("3")()
    assert opened[0].gates == [[CODES["2"]] * 3, [CODES["3"]]]


def test_a_package_gets_packed_rows() -> None:
    seen: dict[str, torch.Tensor] = {}

    def package(**inputs: torch.Tensor) -> torch.Tensor:
        seen.update(inputs)
        return inputs["sample"]

    shared = np.broadcast_to(np.ones(8, np.float32), (2, 8))
    sample, time_embedding = np.zeros((2, 4, 8, 8), np.float32), np.zeros((2, 4), np.float32)
    AotiEngine(torch, package, Path("aoti.pt2"), "cpu").run(sample, time_embedding, {"gates": shared})
    assert not shared.flags.c_contiguous
    assert seen["gates"].is_contiguous()
