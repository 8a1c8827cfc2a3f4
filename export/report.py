"""Owns what a build reports: a table on the terminal, and JSON and Markdown in `<out>.report` beside the
bundle.

Every number stands with the environment and the command that made it. Nothing of this goes into the bundle.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from export import plan, publish, staging
from export.plan import Spec
from export.staging import Record

# The rungs of the parity ladder, by the names under which `export.parts` and `export.image` record their
# errors.
RUNGS = ("masked", "onnx", "engine", "image")
COLUMNS = ("code", "parameters", "MACs", "of dense", "bytes", *RUNGS, "seconds", "state")


@dataclass(frozen=True)
class Result:
    """How a build ended: records of the parts that are in the bundle, and what was said of the others."""

    spec: Spec
    records: Mapping[str, Record]
    errors: Mapping[str, str]
    reused: frozenset[str]
    notes: tuple[str, ...]
    dense_macs: int
    seconds: float
    published: bool

    @property
    def exit_code(self) -> int:
        return 1 if self.errors else 0


def rows(result: Result) -> list[tuple[str, ...]]:
    """One row of text per code, under `COLUMNS`."""
    return [_row(result, code) for code in result.spec.codes]


def _row(result: Result, code: str) -> tuple[str, ...]:
    name, image = f"experts/{code}", f"images/{code}"
    error = result.errors.get(name) or result.errors.get(image)
    record = result.records.get(name)
    if record is None:
        return (code, *["-"] * (len(COLUMNS) - 2), f"FAILED: {error}")
    last = result.records.get(image)
    measures = {**record.measures, **(last.measures if last else {})}
    macs = record.facts["macs"]
    seconds = record.seconds + (last.seconds if last else 0.0)
    return (
        code,
        f"{record.facts['parameters']:,}",
        f"{macs / 1e9:.3f} G",
        f"{macs / result.dense_macs:.3f}",
        f"{record.size:,}",
        *(f"{measures[rung]:.1e}" if rung in measures else "-" for rung in RUNGS),
        f"{seconds:.1f}",
        "cached" if name in result.reused else "built",
    )


def table(result: Result) -> Table:
    """The closing table."""
    drawn = Table(*COLUMNS)
    for row in rows(result):
        drawn.add_row(*row)
    return drawn


def summary(result: Result) -> dict[str, Any]:
    """The report as one JSON object; `parts` are the records that a later build takes parts again by."""
    codes = [
        dict(zip(("code", "parameters", "macs"), _numbers(result, code), strict=True))
        for code in result.spec.codes
    ]
    return {
        "bundle": str(result.spec.out),
        "published": result.published,
        "exit_code": result.exit_code,
        "seconds": round(result.seconds, 2),
        "codes": codes,
        "errors": dict(result.errors),
        "notes": list(result.notes),
        "environment": environment(result.spec),
        "parts": [asdict(record) for record in result.records.values()],
    }


def _numbers(result: Result, code: str) -> tuple[Any, ...]:
    record = result.records.get(f"experts/{code}")
    return (code, record.facts["parameters"], record.facts["macs"]) if record else (code, None, None)


def environment(spec: Spec) -> dict[str, Any]:
    """What the numbers depend on besides the bundle."""
    return {
        "command": shlex.join(sys.orig_argv),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "provider": spec.provider,
        "jobs": spec.jobs,
        "threads": spec.threads,
        "software": plan.software(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
            return next(names, platform.processor())
    except OSError:
        return platform.processor()


def write(result: Result) -> None:
    """Writes report.json and report.md to `<out>.report`, whole or not at all."""
    with publish.publishing(staging.report_folder(result.spec.out), 1 << 20) as folder:
        text = json.dumps(summary(result), indent=1, ensure_ascii=False)
        (folder / staging.REPORT).write_text(text + "\n", encoding="utf-8")
        (folder / "report.md").write_text(markdown(result), encoding="utf-8")


def markdown(result: Result) -> str:
    """The closing table and the environment, for people."""
    lines = [
        f"# Build of {result.spec.out.name}",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" * len(COLUMNS) + "|",
    ]
    lines += ["| " + " | ".join(row) + " |" for row in rows(result)]
    lines += ["", *(f"- {note}" for note in result.notes), ""]
    lines += [f"- {key}: {value}" for key, value in environment(result.spec).items()]
    return "\n".join(lines) + "\n"
