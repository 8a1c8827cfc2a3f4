"""Rivals side by side: ours on the synthetic bundle, peers played by objects."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime.bench import comparison
from runtime.bench.comparison import LARGEST_ERROR, ComparisonRun
from runtime.bench.memory_groups import line_ups
from runtime.bench.peers import PEERS
from runtime.bench.results import Entry, Results
from runtime.bench.spec import BenchSpec
from runtime.bench.workload import Workload
from runtime.bundle.reader import Bundle
from runtime.cli.size import Size
from runtime.engines.engine import GraphEngine
from runtime.engines.session import open_session
from runtime.errors import PeerFailure
from tests.runtime.bench.conftest import SpecOf

Compare = Callable[[BenchSpec, str], list[Entry]]

pytestmark = pytest.mark.usefixtures("short_windows")


class FakePeer:
    """A peer that gives `scale` times what the dense expert's portable graph gives, in `seconds`."""

    scale, seconds, versions, process = 1.0, 0.5, {"numpy": "2"}, 1 << 30

    def __init__(self, name: str, spec: BenchSpec, graph: Path | None, folder: Path) -> None:
        self.name = name
        assert (graph is not None) == PEERS[name].graph
        assert graph is None or graph.is_file()
        with spec.open("cpu") as runtime:
            bundle = runtime.bundle
        self.graph = open_session(bundle.file(bundle.manifest.experts["dense"].model.graph), "cpu")

    def __enter__(self) -> "FakePeer":
        return self

    def __exit__(self, *_: object) -> None: ...

    def take(self, inputs: dict[str, Any]) -> None:
        self.result = self.graph.run("out_sample", inputs)

    def step(self) -> float:
        return 1.0

    def output(self) -> Any:
        return np.float32(self.scale) * self.result

    def image(self, spec: BenchSpec, prompt: str, rows: int) -> float:
        assert rows == 2
        return 3.0


@pytest.fixture
def findings() -> Results:
    return Results({}, {})


@pytest.fixture
def compare(bundle: Bundle, findings: Results, tmp_path: Path) -> Compare:
    def run(spec: BenchSpec, level: str, rows: int = 1) -> list[Entry]:
        (group,) = line_ups(spec, bundle.manifest)
        with ComparisonRun(group, spec, findings, tmp_path, lambda *_: None) as open_contest:
            open_contest.compare(level, rows)
        return findings.comparisons[-1].entries

    return run


@pytest.mark.parametrize("level", ["step", "loop", "image"])
def test_every_expert_is_measured_at_every_level(spec_of: SpecOf, compare: Compare, level: str) -> None:
    entries = compare(spec_of(), level)
    assert [entry.name for entry in entries] == ["dense", "expert 0", "expert 1"]
    for entry in entries:
        assert len(entry.series.samples) == 2
        assert min(entry.series.samples) > 0
        assert entry.series.failure is None


def test_macs_are_those_of_all_rows_and_known_at_the_default_size(
    spec_of: SpecOf, compare: Compare, bundle: Bundle
) -> None:
    from dataclasses import replace

    spec = spec_of(experts=("0",))
    assert compare(spec, "image")[0].macs == 100_000 * 2 * 2  # two guided steps
    large = replace(spec, params=replace(spec.params, size=Size(16, 32)))
    assert compare(large, "loop")[0].macs is None


def test_a_peer_takes_turns_at_what_it_serves(
    spec_of: SpecOf, compare: Compare, findings: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "PeerProcess", FakePeer)
    spec = spec_of(experts=("dense",), peers=("openvino",))
    peer = compare(spec, "step")[1]
    assert peer.name == "openvino"
    assert peer.series.samples == [1.0, 1.0]
    assert peer.error == pytest.approx(0.0, abs=1e-6)
    assert PEERS["openvino"].levels == ("step",)
    assert [entry.name for entry in compare(spec, "image")] == ["dense"]
    assert findings.peers[0].seconds == 0.5


def test_fewer_steps_are_for_images_alone(spec_of: SpecOf, compare: Compare, monkeypatch: Any) -> None:
    monkeypatch.setattr(comparison, "PeerProcess", FakePeer)
    spec = spec_of(experts=("dense", "0"), peers=("diffusers-float32",))
    assert [entry.name for entry in compare(spec, "step")] == ["dense", "expert 0", "diffusers-float32"]
    images = compare(spec, "image")
    assert [entry.name for entry in images] == ["dense", "expert 0", "dense in 2 steps", "diffusers-float32"]
    assert images[-1].series.samples == [3.0, 3.0]


def test_a_peer_that_computes_something_else_gets_no_timing(
    spec_of: SpecOf, compare: Compare, findings: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakePeer, "scale", 1 + 1.1 * LARGEST_ERROR)
    monkeypatch.setattr(comparison, "PeerProcess", FakePeer)
    entries = compare(spec_of(experts=("dense",), peers=("openvino",)), "step")
    assert [entry.name for entry in entries] == ["dense"]
    (missing,) = findings.not_run
    assert (missing.name, missing.level) == ("openvino", "step")
    assert "differs from the first one's by 0.27" in missing.reason


def test_a_peer_that_does_not_load_is_listed(
    spec_of: SpecOf, compare: Compare, findings: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PeerFailure("optimum: optimum is not installed")

    monkeypatch.setattr(comparison, "PeerProcess", refuse)
    entries = compare(spec_of(experts=("dense",), peers=("optimum",)), "step")
    assert [entry.name for entry in entries] == ["dense"]
    assert [one.reason for one in findings.not_run] == ["optimum: optimum is not installed"]
    assert findings.exit_code == 0


def test_the_first_is_not_measured_again_for_nobody(
    spec_of: SpecOf, compare: Compare, findings: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "PeerProcess", FakePeer)
    compare(spec_of(experts=("dense", "0")), "image")
    compare(spec_of(experts=("dense",), peers=("openvino",)), "image")
    assert [len(one.entries) for one in findings.comparisons] == [2]


@pytest.mark.parametrize("broken", [np.nan, 0.0])
def test_an_expert_with_a_broken_output_gets_no_timing(
    spec_of: SpecOf, compare: Compare, findings: Results, monkeypatch: pytest.MonkeyPatch, broken: float
) -> None:
    monkeypatch.setattr(GraphEngine, "run", lambda self, sample, *_: np.full_like(sample, broken))
    entries = compare(spec_of(), "step")
    assert all("not timed" in str(entry.series.failure) for entry in entries)
    assert not any(entry.series.samples for entry in entries)
    assert findings.exit_code == 1


def test_each_level_opens_engines_of_its_own(
    spec_of: SpecOf, bundle: Bundle, findings: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Workload] = []
    close = Workload.close
    monkeypatch.setattr(Workload, "close", lambda self: closed.append(self) or close(self))
    (group,) = line_ups(spec_of(), bundle.manifest)
    with ComparisonRun(group, spec_of(), findings, tmp_path, lambda *_: None) as open_contest:
        open_contest.compare("step", 1)
        open_contest.compare("loop", 1)
    assert len(closed) == 2


def test_memory_of_a_peer_is_read_at_the_end(
    spec_of: SpecOf, compare: Compare, findings: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "PeerProcess", FakePeer)
    told = SimpleNamespace(read=lambda process: ("memory of", process), give_back=lambda: None)
    monkeypatch.setattr(comparison, "process_memory", told)
    compare(spec_of(experts=("dense",), peers=("openvino",)), "step")
    assert findings.peers[0].memory == ("memory of", FakePeer.process)
