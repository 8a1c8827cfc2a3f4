import json
from pathlib import Path

import pytest

from runtime.bench import report
from runtime.bench.charts import LATENCY, MIXTURE, THROUGHPUT
from runtime.bench.results import Results
from runtime.errors import OutputFailure


def entries(findings: Results) -> dict[str, report.Document]:
    comparison = report.document(findings)["comparisons"][0]
    return {entry["name"]: entry for entry in comparison["entries"]}


def test_an_expert_is_compared_with_the_first(findings: Results) -> None:
    expert = entries(findings)["expert 0"]
    assert expert["speed_up"] == {"middle": 1.6, "low": 1.6, "high": 1.6}
    assert expert["realised"] == pytest.approx(0.8)  # half the MACs promise 2
    assert "speed_up" not in entries(findings)["dense"]


def test_too_few_rounds_give_no_interval(findings: Results) -> None:
    assert entries(findings)["openvino"]["speed_up"] == {"middle": 0.5, "low": None, "high": None}


def test_latency_is_told_beside_the_peak_of_the_run(findings: Results) -> None:
    document = report.document(findings)
    assert document["peak"]["macs_per_second"] == 4e9
    assert entries(findings)["dense"]["of_peak"] == pytest.approx(1e9 / 2.0 / 4e9)


def test_throughput_counts_rows(findings: Results) -> None:
    four = report.document(findings)["comparisons"][1]["entries"][0]
    assert four["per_second"] == pytest.approx(4 / 6.0)


def test_raw_samples_are_kept(findings: Results) -> None:
    series = entries(findings)["expert 0"]["series"]
    assert series == {"warm_up": [9.0], "samples": [1.25] * 6, "settled": True, "failure": None}


def test_who_failed_has_a_reason_and_no_number(findings: Results) -> None:
    failed = entries(findings)["expert 1"]
    assert failed["summary"] is None
    assert failed["series"]["failure"] == "expert 1: out of memory"


def test_the_mixture_is_compared_pass_by_pass(findings: Results) -> None:
    summary = report.document(findings)["mixture"]["summary"]
    assert summary["ratio"]["middle"] == 0.5
    assert summary["at_equal_cost"]["middle"] == pytest.approx(0.6)  # its rows cost 1.2 times as much
    mixed = summary["mixed"]
    assert mixed["images_per_second"] == pytest.approx(4 / 6.0)
    assert (mixed["calls"], mixed["rows_per_call"]) == (10, 4)
    assert mixed["shares"]["routing"] == pytest.approx(0.01)


def test_a_mixture_without_a_pass_has_no_summary(findings: Results) -> None:
    assert findings.mixture is not None
    findings.mixture.alone.clear()
    assert "summary" not in report.document(findings)["mixture"]


def test_files_are_written(findings: Results, tmp_path: Path) -> None:
    document = report.document(findings)
    paths = report.write(document, tmp_path / "new/out", draw=True)
    assert {path.name for path in paths} == {"report.json", "report.md", LATENCY, THROUGHPUT, MIXTURE}
    assert {path.name for path in (tmp_path / "new/out").iterdir()} == {path.name for path in paths}
    assert json.loads(paths[0].read_text()) == document
    for path in paths[2:]:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert f"![{path.name}]({path.name})" in paths[1].read_text()


def test_without_charts_nothing_draws(
    findings: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    paths = report.write(report.document(findings), tmp_path, draw=False)
    assert [path.name for path in paths] == ["report.json", "report.md"]


def test_a_report_that_cannot_be_written(findings: Results, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputFailure, match="cannot be written"):
        report.write(report.document(findings), tmp_path / "out", draw=False)
