"""Build an expert's finished graphs into a plan that may be published, and measure it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from export.engines.oracle import Oracle
from export.engines.tensorrt import builder
from export.engines.tensorrt.builder_cache import BuilderCache
from export.engines.tensorrt.graph import prove, typed
from export.parity import ladder

FILE = "tensorrt.plan"
Report = Callable[[str, float], None]


def write(
    expert: Path,
    path: Path,
    wanted: Mapping[str, Any],
    oracle: Oracle,
    build_cache: BuilderCache,
    threads: int,
    report: Report,
) -> dict[str, float]:
    """Build `path` from the graphs in `expert` as `wanted` (`export.engines.manifest_entry`) says.

    Returns the errors that parity measured. Raises Refused, WeightError, UnsupportedGraphError, BuilderError,
    ParityError, OutputError, and the runtime's errors where the plan does not open or run.
    """
    measures = {"autocast": oracle.autocast}
    # Named as what a killed build leaves, which the next one sweeps.
    parts = path.parents[3].parent
    with TemporaryDirectory(prefix=".tensorrt-", suffix=".tmp", dir=parts) as scratch:
        graph = typed(expert, Path(scratch), wanted["precision"])
        if wanted["precision"] == "float16":
            report("float16 graph on a CPU", 0.1)
            measures["graph"] = prove(
                graph.path, oracle.signature, oracle.feeds, oracle.outputs, oracle.autocast, threads
            )
        report("wait for the GPU", 0.2)
        with build_cache.turn():
            what, start = f"build: {build_cache.forecast(graph.weights, graph.nodes)}", time.monotonic()
            builder.write_plan(
                graph.path,
                builder.shapes(oracle.signature, wanted["profile"]),
                path,
                build_cache.timings,
                precision=wanted["precision"],
                report=lambda share: report(what, 0.2 + 0.7 * share),
            )
            build_cache.remember(graph.nodes, time.monotonic() - start)
            report("engine beside autocast", 0.9)
            measures["engine"] = ladder.compiled_beside_autocast(
                path, wanted, oracle.feeds, oracle.outputs, oracle.autocast, threads
            )
    return measures
