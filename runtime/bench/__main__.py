"""`python -m runtime.bench`: measure what a bundle costs on this machine."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.bench import charts, report
from runtime.bench.options import parse
from runtime.bench.results import Results
from runtime.bench.study import Benchmark, OutOfTime
from runtime.cli.output import put
from runtime.cli.parser import run
from runtime.cli.progress import Progress
from runtime.errors import RuntimeFailure, UsageError
from runtime.machine import facts

INTERRUPTED, CUT_OFF, COMPLETE = "interrupted", "cut off before its end", "complete"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for. Raises `RuntimeFailure`."""
    asked = parse(arguments)
    if asked.charts:
        charts.check()
    _check_target(asked.out, asked.overwrite)
    findings = Results(asked.about, facts.environment(), end=CUT_OFF)

    def keep() -> None:
        if findings:
            report.write(report.document(findings), asked.out, draw=False)

    try:
        with Progress() as progress:
            Benchmark(asked.spec, asked.bundle, findings, progress, keep=keep).run()
        findings.end = COMPLETE
    except KeyboardInterrupt:
        findings.end = INTERRUPTED
    except OutOfTime:
        findings.end = f"stopped after {asked.spec.minutes:g} minutes, as asked"
    except RuntimeFailure as failure:
        if not findings:
            raise
        findings.end, findings.failed = f"stopped: {failure}", True
    return _finish(findings, asked.out, draw=asked.charts, as_json=asked.json)


def _finish(findings: Results, out: Path, *, draw: bool, as_json: bool) -> int:
    if not findings:
        raise KeyboardInterrupt
    document = report.document(findings)
    paths = report.write(document, out, draw=draw)
    if as_json:
        put(json.dumps(document, indent=1))
    sys.stderr.write((out / report.MARKDOWN).read_text() + "\n")
    sys.stderr.write(f"written: {', '.join(map(str, paths))}\n")
    return 130 if findings.end == INTERRUPTED else findings.exit_code


def _check_target(out: Path, overwrite: bool) -> None:
    # Before any work: an hour of measuring must not end in a refusal to write it down.
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is not a folder")
    if (out / report.JSON).exists() and not overwrite:
        raise UsageError(f"--out {out}: holds a report already; add --overwrite, or choose another --out")


if __name__ == "__main__":
    run(main)
