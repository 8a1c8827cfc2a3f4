"""The cost of opening an expert: seconds, again after eviction, and memory.

Each is measured in a process of its own, so that no other expert's weights or arena are in the numbers.
"""

import gc
import json
import multiprocessing
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from runtime.bench.memory_groups import files
from runtime.bench.spec import BenchSpec, Contender
from runtime.bench.workload import Clock, Workload
from runtime.bundle.reader import Bundle
from runtime.errors import EngineFailure, RuntimeFailure
from runtime.files.cache_folder import default_folder
from runtime.machine import process_memory
from runtime.machine.process_memory import ProcessMemory

REPORT = "report.json"  # of a build, in the folder `<bundle>.report`


@dataclass(frozen=True, slots=True)
class Opening:
    """One expert's times in seconds and memory in bytes, for UNet calls of `rows` rows.

    `first` opens it in a process that has opened nothing like it, checking its files; `again` after it was
    evicted there. The calls after each may still pack weights. `built` is what its build took, where that is
    known; `unpacked` says that weights were also written to the cache. Memory: before, opened, after one call
    and after two, where `peak` is the most during the call.
    """

    name: str
    rows: int
    file_bytes: int
    built: float | None
    runtime: float
    first: float
    first_call: float
    second_call: float
    again: float
    again_call: float
    unpacked: bool
    memory: dict[str, ProcessMemory | None]


def measure(spec: BenchSpec, contender: Contender, clock: Clock = time.perf_counter) -> Opening:
    """Measure in this process. Raises as opening and running an engine do."""
    folder = spec.cache or default_folder()
    before, start = _entries(folder), clock()
    with spec.open(contender.engine) as runtime:
        opened = clock() - start
        workload, rows = Workload(runtime, spec.params, clock), spec.rows[0]
        workload.inputs(rows)  # encodes the prompt, so that no call does
        held = {"before": process_memory.read()}
        first = workload.timed(lambda: workload.engine(contender.expert, rows))()
        held["opened"] = process_memory.read()
        calls = []
        for name in ("first call", "second call"):
            process_memory.reset_peak()
            calls.append(workload.timed(workload.step(contender.expert, rows))())
            held[name] = process_memory.read()
        workload.close()
        gc.collect()
        again = workload.timed(lambda: workload.engine(contender.expert, rows))()
        again_call = workload.timed(workload.step(contender.expert, rows))()
        bundle = runtime.bundle
        paths = files(contender, bundle.manifest)
    return Opening(
        name=contender.name,
        rows=rows,
        file_bytes=sum(bundle.manifest.files[path].size for path in paths),
        built=build_seconds(bundle).get(contender.expert),
        runtime=opened,
        first=first,
        first_call=calls[0],
        second_call=calls[1],
        again=again,
        again_call=again_call,
        unpacked=folder is None or _entries(folder) != before,
        memory=held,
    )


def measure_apart(spec: BenchSpec, contender: Contender) -> list[Opening]:
    """As `measure`, in a fresh process. Two openings where the first one had to fill the cache."""
    opening = _in_child(spec, contender)
    return [opening, _in_child(spec, contender)] if opening.unpacked else [opening]


def _entries(folder: Path | None) -> set[str]:
    return set() if folder is None else {path.name for path in (folder / "serve").glob("*")}


def _in_child(spec: BenchSpec, contender: Contender) -> Opening:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_serve, args=(theirs, spec, contender), daemon=True)
    child.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        child.join()
        raise EngineFailure(
            f"{contender.name}: the process that opened it ended with code {child.exitcode}; "
            "-9 means that the system ran out of memory"
        ) from None
    finally:
        child.kill()
        child.join()
    if isinstance(answer, RuntimeFailure):
        raise answer
    assert isinstance(answer, Opening)
    return answer


def _serve(connection: Connection, spec: BenchSpec, contender: Contender) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends this one
    try:
        connection.send(measure(spec, contender))
    except RuntimeFailure as failure:
        connection.send(failure)


def build_seconds(bundle: Bundle) -> dict[str, float]:
    """Return the seconds that each expert took to build, as the build's report tells them.

    The report is optional, and counts for those models whose identity it names.
    """
    path = bundle.root.with_name(f"{bundle.root.name}.report") / REPORT
    try:
        parts = json.loads(path.read_bytes())["parts"]
        seconds = {part["key"]: float(part["seconds"]) for part in parts}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    experts = bundle.manifest.experts
    return {
        name: seconds[expert.model.identity]
        for name, expert in experts.items()
        if expert.model.identity in seconds
    }
