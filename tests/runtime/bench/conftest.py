"""Specs on the synthetic bundle, and findings made up by hand, for what is only told of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime import Pipeline
from runtime.bench.arrivals import Arrivals
from runtime.bench.mixture import MixturePasses, Pass
from runtime.bench.opening import Opening
from runtime.bench.peak import Peak
from runtime.bench.results import Comparison, Entry, NotRun, PeerLoad, Results
from runtime.bench.spec import BenchSpec
from runtime.bench.workload import Workload
from runtime.bundle.reader import Bundle
from runtime.machine.process_memory import ProcessMemory
from runtime.request.params import GenerationParams
from runtime.timing import turns
from runtime.timing.turns import Effort, Series

SpecOf = Callable[..., BenchSpec]


@pytest.fixture
def spec_of(bundle_path: Path, cache_path: Path, bundle: Bundle) -> SpecOf:
    """A quick spec with dense and two experts, and whatever else is said."""

    def make(**changes: Any) -> BenchSpec:
        plain: dict[str, Any] = {
            "bundle": bundle_path,
            "engines": ("cpu",),
            "experts": ("dense", "0", "1"),
            "params": GenerationParams(steps=2).resolve(bundle.manifest),
            "effort": Effort(2, 0),
            "cache": cache_path,
            "threads": 1,
        }
        return BenchSpec(**{**plain, **changes})

    return make


@pytest.fixture
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of three calls: those of the synthetic bundle take microseconds."""
    monkeypatch.setattr(turns, "WINDOW_SHORTEST", 0.0)


@pytest.fixture
def workload(runtime: Pipeline, bundle: Bundle) -> Workload:
    return Workload(runtime, GenerationParams(steps=2).resolve(bundle.manifest))


def samples(*seconds: float) -> Series:
    return Series([9.0], list(seconds), settled=True)


def held(private: int) -> ProcessMemory:
    return ProcessMemory(resident=2 * private, private=private, peak=3 * private)


def one_pass(seconds: float, calls: int) -> Pass:
    shares = {"in the UNet": 0.75 * seconds, "routing": 0.01 * seconds}
    shares |= dict.fromkeys(("opening engines", "encoding", "decoding"), 0.0)
    return Pass(seconds, [0.5, 1.5], {"0": 1, "1": 1}, shares, calls=calls, rows=4 * calls)


@pytest.fixture
def findings() -> Results:
    """One of everything: dense at 2 s, an expert of half its MACs at 1.25 s, a peer at 4 s, a failure."""
    about = {"command": "python -m runtime.bench", "manifest": "ab" * 32, "source": "tiny", "trained": False}
    about |= {"height": 64, "width": 48, "steps": 25, "solver": "ddim", "guidance": 7.5}
    step = Comparison(
        "step",
        1,
        [
            Entry("dense", macs=10**9, series=samples(*[2.0] * 6)),
            Entry("expert 0", macs=5 * 10**8, series=samples(*[1.25] * 6)),
            Entry("openvino", macs=10**9, error=0.0123, series=samples(4.0, 4.0)),
            Entry("expert 1", macs=7 * 10**8, series=Series(failure="expert 1: out of memory")),
        ],
    )
    more = Comparison("step", 4, [Entry("dense", macs=4 * 10**9, series=samples(6.0, 6.0))])
    moments = {
        name: held(2**20 * size)
        for name, size in (("before", 10), ("opened", 30), ("first call", 40), ("second call", 45))
    }
    times = {
        "runtime": 0.1,
        "first": 4.0,
        "first_call": 3.0,
        "second_call": 2.0,
        "again": 1.5,
        "again_call": 2.5,
    }
    return Results(
        about,
        {"processor": "A processor", "packages": {"numpy": "2"}},
        moments={"before": {"load": 0.1}, "after": {"load": 0.2}},
        peak=Peak(side=1000, samples={"before": [0.5], "after": [0.25]}),
        openings=[
            Opening(
                name="dense", rows=1, file_bytes=2**20, built=90.0, unpacked=False, memory=moments, **times
            )
        ],
        comparisons=[step, more],
        peers=[PeerLoad("openvino", 12.0, {"openvino": "2026.4"}, held(2**30))],
        mixture=MixturePasses(
            *("cpu", 2, 8, 1, "1", {"mixed": 6e8, "alone": 5e8}),
            mixed=[one_pass(2.0, 10), one_pass(4.0, 10)],
            alone=[one_pass(1.0, 5), one_pass(2.0, 5)],
        ),
        arrivals=[
            Arrivals(
                *(2.0, 30.0, 60, 5),
                waits=[0.5, 1.5],
                latencies=[1.0, 3.0],
                experts={"0": 1, "1": 1},
                calls=10,
                rows=40,
                busy={"in the UNet": 16.0, "routing": 0.32},
                lasted=32.0,
            )
        ],
        not_run=[NotRun("optimum", "load", "optimum is not installed")],
    )
