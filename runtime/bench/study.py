"""A benchmark from beginning to end, most valuable first; what was measured is kept before each next part."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from runtime.bench import mixture
from runtime.bench.arrivals import OpenLoop
from runtime.bench.comparison import ComparisonRun
from runtime.bench.memory_groups import does_not_fit, line_ups
from runtime.bench.mixture import ClosedLoop
from runtime.bench.opening import measure_apart
from runtime.bench.results import Comparison, Entry, NotRun, Results
from runtime.bench.spec import BenchSpec, precisions
from runtime.bench.workload import Clock, Workload
from runtime.bundle.reader import Bundle
from runtime.cli.progress import Progress
from runtime.errors import RuntimeFailure
from runtime.machine import facts
from runtime.timing.turns import Turns

QUEUED = 4  # requests that may wait for each that runs, as in a server


class OutOfTime(Exception):
    """The time limit of a benchmark passed. Finished measurements stand."""


class Benchmark:
    """A benchmark that measures what `spec` asks for, into `findings`."""

    def __init__(
        self,
        spec: BenchSpec,
        bundle: Bundle,
        findings: Results,
        progress: Progress,
        clock: Clock = time.monotonic,
        keep: Callable[[], object] = lambda: None,
    ) -> None:
        """`keep` is called as each part begins: peers may take all memory, and then the process goes."""
        self._spec, self._manifest = spec, bundle.manifest
        self._findings, self._progress = findings, progress
        self._clock, self._end, self._keep = clock, math.inf, keep

    def run(self) -> None:
        """Measure. Failures are kept in the findings; only those that end the benchmark are raised.

        Raises `OutOfTime`, `RuntimeFailure`.
        """
        if self._spec.minutes is not None:
            self._end = self._clock() + 60 * self._spec.minutes
        self._findings.notes += precisions(self._spec.engines, self._manifest)
        self._findings.not_run += [NotRun(name, "all", why) for name, why in self._spec.absent.items()]
        self._moment("before")
        try:
            if "opening" in self._spec.levels:
                self._openings()
            self._contests()
            if self._spec.prompts:
                self._mixture()
            if self._spec.rates:
                self._arrivals()
            if "parts" in self._spec.levels:
                self._parts()
        finally:
            self._moment("after")

    def _begin(self, part: str) -> None:
        self._keep()
        self._progress.begin(part)

    def _round(self, phase: str, done: int, expected: int) -> None:
        if self._clock() > self._end:
            raise OutOfTime
        self._progress.round(phase, done, expected)

    def _moment(self, when: str) -> None:
        self._begin("the machine")
        self._findings.moments[when] = facts.moment()
        self._findings.peak.measure(when)

    def _openings(self) -> None:
        for contender in self._spec.contenders:
            self._begin(f"opening {contender.name}")
            try:
                self._findings.openings += measure_apart(self._spec, contender)
            except RuntimeFailure as failure:
                self._findings.not_run.append(NotRun(contender.name, "opening", str(failure)))

    def _contests(self) -> None:
        levels = [level for level in ("step", "loop", "image") if level in self._spec.levels]
        if not levels:
            return
        with TemporaryDirectory(prefix="aptp-bench-") as folder:
            for group in line_ups(self._spec, self._manifest):
                if does_not_fit(group, self._spec):
                    self._findings.notes.append(
                        f"{' and '.join(rival.name for rival in group)} do not fit into the memory for "
                        "engines together: their loops and images open engines again and again. Give more "
                        "with --memory"
                    )
                self._begin("opening " + ", ".join(rival.name for rival in group))
                with ComparisonRun(group, self._spec, self._findings, Path(folder), self._round) as contest:
                    self._levels(contest, levels)

    def _levels(self, contest: ComparisonRun, levels: Sequence[str]) -> None:
        for level in levels:
            for rows in self._spec.rows if level == "step" else (1,):
                self._begin(f"{level}, {rows} row{'s' * (rows > 1)}" if level == "step" else level)
                contest.compare(level, rows)

    def _mixture(self) -> None:
        spec, engine = self._spec, self._spec.engines[0]
        self._begin("mixture: routing")
        with spec.open(engine) as runtime:
            loop = ClosedLoop(runtime, spec.params, spec.running)
            found = mixture.prepare(loop, self._manifest, spec.prompts, engine, runtime.models.batch)
            self._findings.mixture = found
            self._begin(f"mixture: {len(spec.prompts)} prompts, against all on {found.control}")
            mixture.run(loop, found, spec.prompts, spec.passes, self._round)

    def _arrivals(self) -> None:
        spec = self._spec
        with spec.open(spec.engines[0], queued=QUEUED * spec.running) as runtime:
            loop = OpenLoop(runtime, spec.params)
            runtime.core.warm()
            for rate in spec.rates:
                self._begin(f"{rate:g} images a second arrive")
                arrivals = loop.take(spec.prompts, rate, spec.rate_seconds, self._round)
                self._findings.arrivals.append(arrivals)

    def _parts(self) -> None:
        self._begin("the parts around the UNet")
        with self._spec.open(self._spec.engines[0]) as runtime:
            workload = Workload(runtime, self._spec.params)
            calls = workload.parts()
            comparison = Comparison("parts", 1, [Entry(name) for name in calls])
            self._findings.comparisons.append(comparison)
            works = {name: workload.timed(call) for name, call in calls.items()}
            series = {entry.name: entry.series for entry in comparison.entries}
            Turns(works, series).take(self._spec.effort, self._round)
