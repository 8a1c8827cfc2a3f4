"""The time of a UNet call by operator: dense beside experts, and the part that MACs do not explain.

    python -m bench.account --bundle sd21/bundle --codes dense,0 [--engine openvino|cpu] [--precision …]

The engine's own counters (OpenVINO's, ONNX Runtime's profiler) give seconds per operator; what they leave of
the call's time by the host's clock is its own row: starting operators, and threads that wait for each other.
Both are means over all calls, for OpenVINO keeps nothing else, and means add up; so nothing may run beside
this. Experts take turns. A code promises its share of dense's MACs; rows say how many seconds they lie above.
"""

import argparse
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple, Protocol

from bench.report import save, spread
from runtime import Pipeline
from runtime.bench.workload import Inputs, Workload
from runtime.cli.parser import Parser, run
from runtime.engines import openvino, precision
from runtime.engines.providers import configure, onnxruntime
from runtime.models.cache import Cache
from runtime.request.params import GenerationParams

# By the engines' names for operators; what is in no other class is named itself.
CLASSES = {
    "convolutions": "Convolution Conv FusedConv",
    "products with weights": "FullyConnected Gemm FusedGemm",
    "products of activations": "MatMul FusedMatMul MHA ScaledDotProductAttention Softmax",
    "norms": "MVN GroupNormalization InstanceNormalization LayerNormalization GroupNorm",
    # OpenVINO makes one operator of attention's products and softmax, and of chains of small ones.
    "fused: attention, elementwise": "Subgraph",
    "elementwise": "Eltwise Add Mul Div Sub Sigmoid Gelu BiasGelu QuickGelu Swish Math",
    "copies": "Reorder ReorderInput ReorderOutput Reshape Transpose Unsqueeze Squeeze Slice StridedSlice "
    "Split Concat Concatenation Interpolate Resize Upsample Convert Cast",
}
BETWEEN = "between operators"


class Operator(NamedTuple):
    """An operator's kind, as the engine calls it, and its mean seconds per call."""

    kind: str
    seconds: float


class Counted(Protocol):
    """A graph that is opened with its engine's counters on."""

    def run(self) -> None: ...

    def operators(self) -> dict[str, Operator]: ...


def main() -> None:
    options = _parser().parse_args()
    codes = options.codes.split(",")
    with Pipeline.open(options.bundle, engine="cpu") as runtime, tempfile.TemporaryDirectory() as scratch:
        workload = Workload(runtime, GenerationParams().resolve(runtime.bundle.manifest))
        experts = {name: runtime.bundle.manifest.experts[name] for name in codes}
        graphs = {
            name: ENGINES[options.engine](
                Cache().serving_graph(runtime.bundle, expert.model),
                workload.served(name, 1),
                precision.of(expert, options.engine, options.precision),
                Path(scratch) / name,
            )
            for name, expert in experts.items()
        }
        seconds: dict[str, list[float]] = defaultdict(list)
        for _ in range(options.rounds):
            for name, graph in graphs.items():
                start = time.perf_counter()
                graph.run()
                seconds[name].append(time.perf_counter() - start)
        found = {name: graph.operators() for name, graph in graphs.items()}
    shares = {name: expert.macs / experts[codes[0]].macs for name, expert in experts.items()}
    computed = {precision.of(expert, options.engine, options.precision) for expert in experts.values()}
    title = f"Where a UNet call's time goes: {options.engine}, {' and '.join(sorted(computed))}, one row"
    tables = {"By class": by_class(seconds, found, shares), "By kind of operator": by_kind(seconds, found)}
    save(f"account.{options.engine}", title, tables, {"seconds": seconds, "operators": found})


def by_class(
    seconds: Mapping[str, list[float]], found: Mapping[str, dict[str, Operator]], shares: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the seconds of each class, for each expert; after the first also how far above its share of
    MACs.
    """
    sums = {name: _sums(seconds[name], found[name], _class_of) for name in found}
    first, *others = found
    rows = []
    for kind in sorted(sums[first], key=lambda kind: -sums[first][kind]):
        percent = 100 * sums[first][kind] / sum(sums[first].values())
        row = {"class": kind, first: f"{sums[first][kind]:.4f} s", f"{first}, %": f"{percent:.1f}"}
        for name in others:
            above = sums[name][kind] - shares[name] * sums[first][kind]
            row |= {name: f"{sums[name][kind]:.4f} s", f"{name}, above its MACs": f"{above:+.4f} s"}
        rows.append(row)
    whole = {"class": "whole call", first: spread(seconds[first]), f"{first}, %": "100"}
    for name in others:
        above = mean(seconds[name]) - shares[name] * mean(seconds[first])
        whole |= {name: spread(seconds[name]), f"{name}, above its MACs": f"{above:+.4f} s"}
    return [*rows, whole]


def by_kind(
    seconds: Mapping[str, list[float]], found: Mapping[str, dict[str, Operator]]
) -> list[dict[str, Any]]:
    """Return the seconds and number of each kind of operator, for each expert."""
    sums = {name: _sums(seconds[name], found[name], lambda kind: kind) for name in found}
    numbers = {name: Counter(one.kind for one in operators.values()) for name, operators in found.items()}
    first, kinds = next(iter(sums)), dict.fromkeys(kind for each in sums.values() for kind in each)
    return [
        {"kind": kind, **{name: f"{sums[name][kind]:.4f} s in {numbers[name][kind]}" for name in found}}
        for kind in sorted(kinds, key=lambda kind: -sums[first][kind])
    ]


def _sums(
    seconds: list[float], operators: Mapping[str, Operator], label: Callable[[str], str]
) -> defaultdict[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for operator in operators.values():
        total[label(operator.kind)] += operator.seconds
    total[BETWEEN] = mean(seconds) - sum(total.values())
    return total


def _class_of(kind: str) -> str:
    return next((name for name, kinds in CLASSES.items() if kind in kinds.split()), kind)


class OnOpenVino:
    """OpenVINO, whose counters are means over all calls of a compiled graph."""

    def __init__(self, graph: Path, inputs: Inputs, precision: str, _: Path) -> None:
        chosen = {**openvino.settings(precision), "PERF_COUNT": "YES"}
        self._request = openvino.compiled(graph, _pins(inputs), chosen).create_infer_request()
        self._inputs = inputs

    def run(self) -> None:
        self._request.infer(self._inputs, share_inputs=True, share_outputs=True)

    def operators(self) -> dict[str, Operator]:
        found = (one for one in self._request.get_profiling_info() if one.status.name == "EXECUTED")
        return {one.node_name: Operator(one.node_type, one.real_time.total_seconds()) for one in found}


class OnCpu:
    """ONNX Runtime's CPU provider, whose profiler writes a trace of all runs."""

    def __init__(self, graph: Path, inputs: Inputs, precision: str, trace: Path) -> None:
        assert precision == "float32", "the CPU provider computes in no other"
        options = onnxruntime().SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, str(trace)
        for name, size in _pins(inputs).items():
            options.add_free_dimension_override_by_name(name, size)
        self._session = onnxruntime().InferenceSession(str(graph), options, **configure(options, "cpu"))
        self._inputs, self._runs = inputs, 0

    def run(self) -> None:
        self._session.run(["out_sample"], self._inputs)
        self._runs += 1

    def operators(self) -> dict[str, Operator]:
        events = json.loads(Path(self._session.end_profiling()).read_text())
        kernels = [event for event in events if event["name"].endswith("_kernel_time")]
        total: Counter[str] = Counter()
        for event in kernels:
            total[event["name"]] += event["dur"]
        kinds = {event["name"]: event["args"]["op_name"] for event in kernels}
        return {name: Operator(kinds[name], total[name] / 1e6 / self._runs) for name in kinds}


ENGINES: dict[str, Callable[[Path, Inputs, str, Path], Counted]] = {"openvino": OnOpenVino, "cpu": OnCpu}


def _pins(inputs: Inputs) -> dict[str, int]:
    batch, _, height, width = inputs["sample"].shape
    return {"batch": batch, "height": height, "width": width}


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m bench.account",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bundle", type=Path, default=Path("bundle"))
    parser.add_argument("--codes", default="dense,0", help="the first is what others are compared with")
    parser.add_argument("--engine", choices=tuple(ENGINES), default="openvino")
    parser.add_argument("--precision", choices=precision.PRECISIONS, help="default: the least it has earned")
    parser.add_argument("--rounds", type=int, default=12)
    return parser


if __name__ == "__main__":
    run(main)
