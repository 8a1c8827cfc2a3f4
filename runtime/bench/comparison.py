"""One group of rivals, opened together and compared level by level.

Refuses to time an output that is broken, or that is another function's: a blank image is fast to make.
"""

import gc
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from runtime.bench.memory_groups import Competitor
from runtime.bench.peers import PEERS, PeerProcess
from runtime.bench.results import Comparison, Entry, NotRun, PeerLoad, Results
from runtime.bench.spec import BenchSpec, Contender
from runtime.bench.workload import PROMPT, Float32, Workload, check_output, distance
from runtime.errors import EngineFailure, PeerFailure, RuntimeFailure
from runtime.formats import DENSE
from runtime.machine import process_memory
from runtime.timing.turns import OnRound, Turns, Work

# Far above what bfloat16 does to a UNet (a few hundredths), far below what a wrong weight does. How close an
# engine must be to be published is for export's parity ladder to say.
LARGEST_ERROR = 0.25


class ComparisonRun:
    """A context manager: the rivals' runtimes and processes are open inside it."""

    def __init__(
        self,
        rivals: tuple[Competitor, ...],
        spec: BenchSpec,
        findings: Results,
        folder: Path,
        on_round: OnRound,
    ) -> None:
        self._rivals, self._spec, self._findings = rivals, spec, findings
        self._folder, self._on_round = folder, on_round
        self._workloads: dict[str, Workload] = {}
        self._peers: dict[str, PeerProcess] = {}
        self._references: dict[str, Float32] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "ComparisonRun":
        with ExitStack() as stack:
            for rival in self._rivals:
                if rival.contender and (engine := rival.contender.engine) not in self._workloads:
                    runtime = stack.enter_context(self._spec.open(engine))
                    self._workloads[engine] = Workload(runtime, self._spec.params)
            for rival in self._rivals:
                if not rival.contender:
                    self._load(rival.name, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for load in self._findings.peers:
            if load.name in self._peers:
                load.memory = process_memory.read(self._peers[load.name].process)
        self._workloads.clear()
        self._stack.close()
        gc.collect()
        process_memory.give_back()  # to the next group, whose peers may need all there is

    def compare(self, level: str, rows: int = 1) -> None:
        """Compare at `step` with `rows` rows, `loop` or `image`, and keep what comes of it."""
        entrants = [rival for rival in self._rivals if level in self._levels(rival)]
        earlier = [one for one in self._findings.comparisons if (one.level, one.rows) == (level, rows)]
        if earlier and len(entrants) < 2:
            return  # the first has been measured with another group, and here is nobody to compare it with
        comparison, works = Comparison(level, rows), dict[str, Work]()
        self._findings.comparisons.append(comparison)
        for workload in self._workloads.values():
            workload.close()  # the engines of the level before are specialised to other rows
        self._references.clear()
        for rival in entrants:
            entry = Entry(rival.name)
            comparison.entries.append(entry)
            try:
                works[rival.name] = self._prepare(comparison, entry, rival)
            except RuntimeFailure as failure:
                self._refuse(comparison, entry, rival, failure)
        series = {entry.name: entry.series for entry in comparison.entries}
        Turns(works, series).take(self._spec.effort, self._on_round)

    def _levels(self, rival: Competitor) -> tuple[str, ...]:
        if rival.contender:
            return ("step", "loop", "image") if rival.contender.steps is None else ("image",)
        return PEERS[rival.name].levels if rival.name in self._peers else ()

    def _refuse(
        self, comparison: Comparison, entry: Entry, rival: Competitor, failure: RuntimeFailure
    ) -> None:
        if rival.contender:
            entry.series.failure = str(failure)
            return
        comparison.entries.remove(entry)
        self._findings.not_run.append(NotRun(rival.name, comparison.level, str(failure)))

    def _load(self, name: str, stack: ExitStack) -> None:
        try:
            graph = self._graph() if PEERS[name].graph else None
            peer = stack.enter_context(PeerProcess(name, self._spec, graph, self._folder))
        except PeerFailure as failure:
            self._findings.not_run.append(NotRun(name, "load", str(failure)))
            return
        self._peers[name] = peer
        self._findings.peers.append(PeerLoad(name, peer.seconds, peer.versions))

    def _graph(self) -> Path | None:
        bundle = self._any.runtime.bundle
        if DENSE not in bundle.manifest.experts:
            return None
        return bundle.model(bundle.manifest.experts[DENSE].model)[0]

    def _prepare(self, comparison: Comparison, entry: Entry, rival: Competitor) -> Work:
        if comparison.level == "step":
            return self._step(entry, rival, comparison.rows)
        return self._loop(entry, rival) if comparison.level == "loop" else self._image(entry, rival)

    def _step(self, entry: Entry, rival: Competitor, rows: int) -> Work:
        if contender := rival.contender:
            workload = self._workloads[contender.engine]
            call = workload.step(contender.expert, rows)
            entry.macs = self._macs(contender.expert, rows)
            entry.error = self._error(call(), contender.expert, rival.name)
            return workload.timed(call)
        peer = self._peers[rival.name]
        peer.take(self._any.inputs(rows))
        peer.step()
        entry.macs = self._macs(DENSE, rows)
        entry.error = self._error(peer.output(), DENSE, rival.name)
        return peer.step

    def _loop(self, entry: Entry, rival: Competitor) -> Work:
        assert rival.contender is not None
        workload = self._workloads[rival.contender.engine]
        call = workload.loop(rival.contender.expert)
        check_output(call(), rival.name)
        entry.macs = self._macs(rival.contender.expert, workload.calls)
        return workload.timed(call)

    def _image(self, entry: Entry, rival: Competitor) -> Work:
        if contender := rival.contender:
            workload = self._paced(contender)
            call = workload.image(contender.expert)
            check_output(call(), rival.name)
            entry.macs = self._macs(contender.expert, workload.calls)
            return workload.timed(call)
        peer, steps = self._peers[rival.name], len(self._any.solver_steps.rows)
        entry.macs = self._macs(DENSE, self._any.calls)
        peer.image(self._spec, PROMPT, steps)
        return lambda: peer.image(self._spec, PROMPT, steps)

    def _paced(self, contender: Contender) -> Workload:
        workload = self._workloads[contender.engine]
        if contender.steps is None:
            return workload
        return Workload(workload.runtime, replace(self._spec.params, steps=contender.steps))

    def _error(self, output: Float32, expert: str, where: str) -> float | None:
        """Return the distance to the first output of the same expert, which has none."""
        check_output(output, where)
        if expert not in self._references:
            self._references[expert] = output
            return None
        error = distance(output, self._references[expert])
        if error > LARGEST_ERROR:
            raise EngineFailure(
                f"{where}: not timed, its output differs from the first one's by {error:.2g} (rms over rms): "
                "other weights, or a broken engine"
            )
        return error

    def _macs(self, expert: str, rows: int) -> int | None:
        """Return the multiply-accumulates of `rows` UNet rows, which a manifest knows at its default size."""
        manifest = self._any.runtime.bundle.manifest
        default = (manifest.latent.height, manifest.latent.width)
        if self._any.shape[1:] != default or expert not in manifest.experts:
            return None
        return rows * manifest.experts[expert].macs

    @property
    def _any(self) -> Workload:
        return next(iter(self._workloads.values()))
