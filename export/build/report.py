"""The report of a build: a table on the terminal, and JSON and Markdown in `<out>.report` beside the bundle.

Every number stands with the environment and the command that made it. Nothing of this goes into the bundle.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from export.build import layout, plan
from export.build.part_store import PartRecord
from export.build.plan import BuildSpec
from export.profile.width_advice import WidthForecast
from runtime.bundle.earned import INT8
from runtime.cli.markdown import table as markdown_table
from runtime.files import publish
from runtime.machine import processor
from runtime.machine.facts import command, machine

# The rungs of the parity ladder, by the names under which `export.build.parts` and `export.parity.image`
# record their errors.
RUNGS = ("masked", "onnx", "engine", "image")
COLUMNS = ("code", "params", "MACs", "share", "bytes", *RUNGS, "seconds", "state")
# What the closing table needs at least, so that no number is cut.
WIDTH = 80


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a part is not in the bundle, and the stage it came in."""

    stage: str
    error: Exception

    def __str__(self) -> str:
        return f"FAILED at {self.stage}: {self.error}"


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The result of a build: records of the parts that are in the bundle, and failures of the others.

    `published` is false where the bundle there was right already. `forecasts`: by code, where a profile was
    given.
    """

    spec: BuildSpec
    records: Mapping[str, PartRecord]
    failures: Mapping[str, Failure]
    reused: frozenset[str]
    notes: tuple[str, ...]
    dense_macs: int
    seconds: float
    published: bool
    forecasts: Mapping[str, WidthForecast] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        return 1 if self.failures else 0


def rows(result: BuildResult) -> list[tuple[str, ...]]:
    """Return one row of text per code, under `COLUMNS`."""
    return [_row(result, code) for code in result.spec.codes]


def _row(result: BuildResult, code: str) -> tuple[str, ...]:
    name, image = f"experts/{code}", f"images/{code}"
    earned = f"earned/{plan.OPENVINO}/{processor.vectors()}/{code}"
    record = result.records.get(name)
    if record is None:
        failure = next(result.failures[one] for one in (name, earned, image) if one in result.failures)
        return (code, *["-"] * (len(COLUMNS) - 2), f"FAILED: {failure.stage}")
    last = result.records[image]
    shown = result.records[earned].measures if earned in result.records else {}
    measures = {**record.measures, **shown, **last.measures}
    macs = record.facts["macs"]
    return (
        code,
        _scaled(record.facts["parameters"]),
        _scaled(macs),
        f"{macs / result.dense_macs:.3f}",
        f"{_scaled(record.size)}B",
        *(_error(measures[rung]) if rung in measures else "-" for rung in RUNGS),
        f"{record.seconds + last.seconds:.1f}",
        "cached" if name in result.reused else "built",
    )


def _scaled(count: int) -> str:
    """Return such as `407.0 M`."""
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= scale:
            return f"{count / scale:.1f} {prefix}"
    return f"{count} "


def _error(value: float) -> str:
    """Return such as `1.2e-6`."""
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if value else "0"


def table(result: BuildResult) -> Table:
    """Return the closing table, at most `WIDTH` wide but for its last column."""
    drawn = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in COLUMNS[:-1]:
        drawn.add_column(name, justify="right", no_wrap=True)
    drawn.add_column(COLUMNS[-1], overflow="fold")
    for row in rows(result):
        drawn.add_row(*map(Text, row))
    return drawn


def closing(result: BuildResult) -> list[str]:
    """Return the lines below the table."""
    failures = [f"{name}: {failure}" for name, failure in result.failures.items()]
    state = "is published" if result.published else "is up to date"
    rest = "; run the same command again to build the rest" if failures else ""
    forecasts = [f"experts/{code}: {forecast}" for code, forecast in result.forecasts.items()]
    notes = [*_slowed(result), *_compiled(result), *_quantized(result), *forecasts, *result.notes]
    return [*failures, *notes, f"{result.spec.out} {state}{rest}"]


def _slowed(result: BuildResult) -> list[str]:
    """Say which experts an engine computes in float32 because less did not pass, with both errors."""
    return [
        f"{name} stays in float32: {record.facts['precision']} errs by "
        f"{_error(record.measures['engine'])}, PyTorch's autocast by {_error(record.measures['autocast'])}"
        for name, record in result.records.items()
        if name.startswith("earned/") and "autocast" in record.measures and not record.facts["passed"]
    ]


def _compiled(result: BuildResult) -> list[str]:
    """Say what was compiled, how large it is and how far it errs beside PyTorch's autocast."""
    return [
        f"{name}: {record.facts['precision']}, {_scaled(record.size)}B, errs by "
        f"{_error(record.measures['engine'])} (autocast {_error(record.measures['autocast'])}), "
        f"made in {record.seconds:.0f} s"
        for name, record in result.records.items()
        if name.startswith("compiled/")
    ]


def _quantized(result: BuildResult) -> list[str]:
    """Say how far eight bits err, and that images have to judge them."""
    return [
        f"{name}: {_scaled(record.size)}B, errs by {_error(record.measures['int8'])} on prompts "
        f"that it was not calibrated on, made in {record.seconds:.0f} s; it serves only by name until "
        "python -m export.judge has recorded what its images show"
        for name, record in result.records.items()
        if name.startswith(f"{INT8}/")
    ]


def summary(result: BuildResult) -> dict[str, Any]:
    """Return the report as one JSON object; `parts` are the records that a later build takes parts
    again by.
    """
    return {
        "bundle": str(result.spec.out),
        "published": result.published,
        "exit_code": result.exit_code,
        "seconds": round(result.seconds, 2),
        "codes": [_numbers(result, code) for code in result.spec.codes],
        "failures": {
            name: {"stage": failure.stage, "error": str(failure.error)}
            for name, failure in result.failures.items()
        },
        "notes": list(result.notes),
        "forecasts": {code: asdict(forecast) for code, forecast in result.forecasts.items()},
        "environment": environment(result.spec),
        "parts": [asdict(record) for record in result.records.values()],
    }


def _numbers(result: BuildResult, code: str) -> dict[str, Any]:
    record = result.records.get(f"experts/{code}")
    facts = record.facts if record else {}
    return {"code": code, "parameters": facts.get("parameters"), "macs": facts.get("macs")}


def environment(spec: BuildSpec) -> dict[str, Any]:
    """Describe what the numbers depend on besides the bundle."""
    return {
        "command": command(),
        **machine(),
        "engines": [plan.GRAPHS, *spec.engines],
        "jobs": spec.jobs,
        "threads": spec.threads,
        "software": plan.software(),
    }


def write(result: BuildResult) -> None:
    """Write report.json and report.md to `<out>.report`, whole or not at all."""
    place = layout.report_folder(result.spec.out)
    with publish.disk_space(place, 1 << 20), publish.publishing(place) as folder:
        text = json.dumps(summary(result), indent=1, ensure_ascii=False)
        (folder / layout.REPORT).write_text(text + "\n", encoding="utf-8")
        (folder / "report.md").write_text(markdown(result), encoding="utf-8")


def markdown(result: BuildResult) -> str:
    """Return the closing table and the environment, for people."""
    lines = [
        f"# Build of {result.spec.out.name}",
        "",
        markdown_table(COLUMNS, rows(result)),
    ]
    lines += ["", *(f"- {said}" for said in closing(result)), ""]
    for code, forecast in result.forecasts.items():
        lines += [f"- experts/{code}: {advice}" for advice in forecast.advice]
    lines += [f"- {key}: {value}" for key, value in environment(result.spec).items()]
    return "\n".join(lines) + "\n"
