"""A benchmark as files: everything as JSON, from which Markdown and charts are made.

Files are whole or not there. Nothing in them was not measured, or computed here from raw samples beside it.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runtime.bench import charts, markdown
from runtime.bench.arrivals import Arrivals
from runtime.bench.mixture import MixturePasses, Pass
from runtime.bench.peak import Peak
from runtime.bench.results import Comparison, Entry, Results
from runtime.errors import OutputFailure
from runtime.files.publish import write_file
from runtime.service.work_stats import KINDS
from runtime.timing.statistics import median_of, speed_up, summarize

JSON, MARKDOWN = "report.json", "report.md"
FORMAT, VERSION = "aptp-bench", 1

Document = dict[str, Any]


def document(findings: Results) -> Document:
    """Return the findings, and beside the raw samples what follows from them."""
    plain = findings.plain()
    plain["peak"]["macs_per_second"] = findings.peak.rate
    for comparison, written in zip(findings.comparisons, plain["comparisons"], strict=True):
        for entry, beside in zip(comparison.entries, written["entries"], strict=True):
            beside.update(_entry(entry, comparison, findings.peak))
    if findings.mixture and findings.mixture.alone:
        plain["mixture"].update(_mixture(findings.mixture))
    for one, beside in zip(findings.arrivals, plain["arrivals"], strict=True):
        beside["summary"] = _arrivals(one)
    return {"format": FORMAT, "version": VERSION, **plain}


def write(document: Document, folder: Path, *, draw: bool) -> list[Path]:
    """Write report.json, report.md and, to `draw`, the charts into `folder`; the files written.

    Raises `OutputFailure`, `EnvironmentMismatch`.
    """
    pictures = charts.draw(document) if draw else {}
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    files = {JSON: text.encode(), MARKDOWN: markdown.render(document, list(pictures)).encode(), **pictures}
    return [_save(folder / name, data) for name, data in files.items()]


def _entry(entry: Entry, comparison: Comparison, peak: Peak) -> Document:
    """Return a contender's row.

    `realised`: the speed-up over the one that MACs promise. `of_peak`: of the measured matrix product.
    """
    samples, first = entry.series.samples, comparison.entries[0]
    if not samples:
        return {"summary": None}
    summary = summarize(samples)
    found: Document = {"summary": asdict(summary), "per_second": comparison.rows / summary.p50}
    ratio = None if entry is first else speed_up(first.series.samples, samples)
    if ratio and comparison.level != "parts":
        found["speed_up"] = asdict(ratio)
        if entry.macs and first.macs:
            found["realised"] = ratio.middle * entry.macs / first.macs
    if entry.macs:
        found["of_peak"] = entry.macs / summary.p50 / peak.rate
    return found


def _mixture(mixture: MixturePasses) -> Document:
    """Return the mixture's table.

    `ratio`: the mixture's images per second over the control's. `at_equal_cost`: the same of MACs.
    """
    rounds = list(zip(mixture.mixed, mixture.alone, strict=False))
    ratio = median_of([alone.seconds / mixed.seconds for mixed, alone in rounds])
    dearer = mixture.macs["mixed"] / mixture.macs["alone"]
    equal = median_of([dearer * alone.seconds / mixed.seconds for mixed, alone in rounds])
    arms = {"mixed": _arm(mixture.mixed), "alone": _arm(mixture.alone)}
    return {"summary": {**arms, "ratio": asdict(ratio), "at_equal_cost": asdict(equal)}}


def _arrivals(one: Arrivals) -> Document:
    """Return the table of arrivals.

    `per_second`: images made; `busy`: shares of the time, of kinds of work that may go on at once.
    """
    return {
        "per_second": len(one.latencies) / one.lasted,
        "latency": asdict(summarize(one.latencies)) if one.latencies else None,
        "wait": asdict(summarize(one.waits)) if one.waits else None,
        "rows_per_call": one.rows / one.calls if one.calls else None,
        "busy": {kind: seconds / one.lasted for kind, seconds in one.busy.items()},
    }


def _arm(passes: list[Pass]) -> Document:
    seconds = sum(one.seconds for one in passes)
    images = sum(len(one.latencies) for one in passes)
    shares = {name: sum(one.shares[name] for one in passes) / seconds for name in KINDS}
    return {
        "images_per_second": images / seconds,
        "latency": asdict(summarize([latency for one in passes for latency in one.latencies])),
        "calls": sum(one.calls for one in passes) / len(passes),
        "rows_per_call": sum(one.rows for one in passes) / sum(one.calls for one in passes),
        "shares": shares,
    }


def _save(path: Path, data: bytes) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data)
    except OSError as error:
        raise OutputFailure(
            f"{path}: cannot be written: {error.strerror}; make room, or choose another --out"
        ) from error
    return path
