"""The order of things, with everything that takes time replaced; and the whole of it once for real."""

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.bench import __main__ as bench
from runtime.bench import study
from runtime.bench.opening import Opening
from runtime.bench.peak import Peak
from runtime.bench.results import Results
from runtime.bench.study import Benchmark, OutOfTime
from runtime.bench.workload import Workload
from runtime.bundle.reader import Bundle
from runtime.errors import EngineFailure, RuntimeFailure, UsageError
from runtime.timing.turns import Effort
from tests.runtime.bench.conftest import SpecOf

pytestmark = pytest.mark.usefixtures("short_windows")


class Quiet:
    """Progress that nobody sees, but for a test."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self, what: str) -> None:
        self.told.append(what)

    def round(self, phase: str, done: int, expected: int) -> None: ...


@pytest.fixture(autouse=True)
def no_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """The products of large matrices have tests of their own, and take long."""

    def measure(self: Peak, when: str) -> None:
        self.samples[when] = [1.0]

    monkeypatch.setattr(Peak, "measure", measure)


def measured(spec_of: SpecOf, bundle: Bundle, **changes: Any) -> tuple[Results, list[str]]:
    findings, progress = Results({}, {}), Quiet()
    Benchmark(spec_of(**changes), bundle, findings, progress).run()  # type: ignore[arg-type]
    return findings, progress.told


def test_steps_are_compared_at_every_number_of_rows(spec_of: SpecOf, bundle: Bundle) -> None:
    findings, told = measured(spec_of, bundle, levels=("step", "loop"), rows=(1, 2))
    assert [(one.level, one.rows) for one in findings.comparisons] == [("step", 1), ("step", 2), ("loop", 1)]
    assert told[0] == told[-1] == "the machine"
    assert set(findings.peak.samples) == set(findings.moments) == {"before", "after"}


def test_what_cannot_be_run_is_in_the_report(spec_of: SpecOf, bundle: Bundle) -> None:
    findings, _ = measured(spec_of, bundle, levels=("step",), absent={"cuda": "no GPU is here"})
    assert [(one.name, one.reason) for one in findings.not_run] == [("cuda", "no GPU is here")]
    assert findings.exit_code == 0


def test_parts_and_mixture(spec_of: SpecOf, bundle: Bundle) -> None:
    prompts = ("a red circle", "blue")
    findings, _ = measured(spec_of, bundle, levels=("parts",), prompts=prompts, passes=2, running=2)
    (parts,) = findings.comparisons
    assert [entry.name for entry in parts.entries] == ["text encoder", "router", "VAE decoder"]
    assert all(len(entry.series.samples) == 2 for entry in parts.entries)
    assert findings.mixture is not None
    assert len(findings.mixture.mixed) == len(findings.mixture.alone) == 2


def test_groups_that_do_not_fit_are_noted(spec_of: SpecOf, bundle: Bundle) -> None:
    findings, _ = measured(spec_of, bundle, levels=("step",), memory=800)
    assert [[entry.name for entry in one.entries] for one in findings.comparisons] == [
        ["dense", "expert 0"],
        ["dense", "expert 1"],
    ]
    assert findings.notes[0].startswith("dense and expert 0 do not fit into the memory")


def test_an_expert_that_does_not_open_is_listed_and_the_rest_goes_on(
    spec_of: SpecOf, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_one(spec: Any, contender: Any) -> list[str]:
        if contender.expert == "0":
            raise EngineFailure("expert 0: no memory")
        return [contender.name]

    monkeypatch.setattr(study, "measure_apart", open_one)
    findings, _ = measured(spec_of, bundle, levels=("opening",))
    assert findings.openings == ["dense", "expert 1"]
    assert [one.reason for one in findings.not_run] == ["expert 0: no memory"]
    assert findings.exit_code == 1


def test_the_machine_is_looked_at_again_after_an_interrupt(
    spec_of: SpecOf, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> list[Opening]:
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "measure_apart", interrupt)
    findings = Results({}, {})
    with pytest.raises(KeyboardInterrupt):
        Benchmark(spec_of(), bundle, findings, Quiet()).run()  # type: ignore[arg-type]
    assert "after" in findings.moments


def test_when_the_minutes_are_over_no_round_begins(spec_of: SpecOf, bundle: Bundle) -> None:
    seconds = iter([0.0, 30.0, 59.0, *[61.0] * 9])
    findings = Results({}, {})
    spec = spec_of(levels=("step",), minutes=1.0, effort=Effort(9, 0))
    with pytest.raises(OutOfTime):
        Benchmark(spec, bundle, findings, Quiet(), lambda: next(seconds)).run()  # type: ignore[arg-type]
    (step,) = findings.comparisons
    assert len(step.entries[0].series.warm_up) == 3
    assert "after" in findings.moments


def arguments(bundle: Path, cache: Path, out: Path, *words: object) -> list[str]:
    quick = ["--engines", "cpu", "--threads", "1", "--rounds", "2", "--seconds", "0", "--steps", "2"]
    return ["--bundle", str(bundle), "--cache", str(cache), "--out", str(out), *quick, *map(str, words)]


def test_a_small_benchmark_from_beginning_to_end(
    bundle_path: Path, cache_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red circle\nblue\n")
    out = tmp_path / "out"
    words = ["--codes", "dense,0", "--rows", "1,2", "--prompts", prompts, "--passes", 1, "--json"]
    assert bench.main(arguments(bundle_path, cache_path, out, *words)) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "report.json").read_text())
    assert printed["end"] == "complete"
    assert [one["name"] for one in printed["openings"]] == ["dense", "expert 0"]
    levels = [(one["level"], one["rows"]) for one in printed["comparisons"]]
    assert levels == [("step", 1), ("step", 2), ("loop", 1), ("image", 1), ("parts", 1)]
    for comparison in printed["comparisons"]:
        for entry in comparison["entries"]:
            assert entry["summary"]["count"] == 2
    assert {path.name for path in out.iterdir()} == {
        *("report.json", "report.md", "latency.png", "throughput.png", "mixture.png")
    }


def test_an_interrupt_leaves_a_report(
    bundle_path: Path, cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Benchmark, "_parts", interrupt)
    words = ["--levels", "step,parts", "--codes", "0", "--rows", "1", "--no-charts"]
    assert bench.main(arguments(bundle_path, cache_path, tmp_path / "out", *words)) == 130
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["end"] == "interrupted"
    assert len(report["comparisons"][0]["entries"][0]["series"]["samples"]) == 2
    assert "This run was interrupted" in (tmp_path / "out/report.md").read_text()


def test_what_was_measured_is_on_disk_before_the_next_part_begins(
    bundle_path: Path, cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that the system kills, for all memory is taken, has no time to write."""
    found: list[dict[str, Any]] = []

    def look(*_: object) -> None:
        found.append(json.loads((tmp_path / "out/report.json").read_text()))

    monkeypatch.setattr(Workload, "parts", look)
    words = ["--levels", "step,parts", "--codes", "0", "--rows", "1", "--no-charts"]
    with pytest.raises(TypeError):  # there are no parts to be measured
        bench.main(arguments(bundle_path, cache_path, tmp_path / "out", *words))
    assert found[0]["end"] == "cut off before its end"
    assert len(found[0]["comparisons"][0]["entries"][0]["series"]["samples"]) == 2


def test_an_interrupt_before_the_first_number_leaves_nothing(
    bundle_path: Path, cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Benchmark, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.main(arguments(bundle_path, cache_path, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_failure_in_between_keeps_what_there_is(
    bundle_path: Path, cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Benchmark) -> None:
        raise RuntimeFailure("the disk is gone")

    monkeypatch.setattr(Benchmark, "_parts", fail)
    words = ["--levels", "step,parts", "--codes", "0", "--rows", "1", "--no-charts"]
    assert bench.main(arguments(bundle_path, cache_path, tmp_path / "out", *words)) == 1
    assert json.loads((tmp_path / "out/report.json").read_text())["end"] == "stopped: the disk is gone"


def test_a_failure_before_anything_is_raised(
    bundle_path: Path, cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Benchmark) -> None:
        raise RuntimeFailure("no clock")

    monkeypatch.setattr(Benchmark, "run", fail)
    with pytest.raises(RuntimeFailure, match="no clock"):
        bench.main(arguments(bundle_path, cache_path, tmp_path / "out"))


def test_a_report_is_not_replaced_unasked(bundle_path: Path, cache_path: Path, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(UsageError, match="holds a report already; add --overwrite"):
        bench.main(arguments(bundle_path, cache_path, tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is not a folder"):
        bench.main(arguments(bundle_path, cache_path, tmp_path / "file"))
