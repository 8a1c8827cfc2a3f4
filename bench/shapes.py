"""The cost of open shapes: written into the graph, pinned at load, batch open, all open.

    python -m bench.shapes --bundle DIR [--code 0] [--engine cpu]

The runtime pins what it knows; this is the evidence. Each way takes turns with the others, on one row.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench.report import save, spread
from runtime import Pipeline
from runtime.bench.workload import Inputs, Workload
from runtime.cli.parser import Parser, run
from runtime.engines import openvino
from runtime.engines.engine import Graph
from runtime.engines.session import open_session
from runtime.models.cache import Cache
from runtime.request.params import GenerationParams
from runtime.timing.turns import Effort, Series, Turns, Work


def main() -> None:
    parser = Parser(
        prog="python -m bench.shapes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--code", default="0")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--engine", choices=("openvino", "cpu"), default="openvino")
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    with Pipeline.open(options.bundle, engine="cpu", cache=options.cache) as runtime:
        bundle = runtime.bundle
        inputs = Workload(runtime, GenerationParams().resolve(bundle.manifest)).served(options.code, 1)
    graph = Cache(options.cache).serving_graph(bundle, bundle.manifest.experts[options.code].model)
    series = measure(graph, inputs, options.engine, options.rounds)
    rows = table({name: found.samples for name, found in series.items()})
    samples = {name: found.samples for name, found in series.items()}
    save("shapes", f"Shapes of expert {options.code}, {options.engine}", {"One row": rows}, samples)


def measure(graph: Path, inputs: Inputs, engine: str, rounds: int) -> dict[str, Series]:
    """Measure every way of giving the graph its shapes, in turns."""
    batch, _, height, width = inputs["sample"].shape
    pins = {"batch": batch, "height": height, "width": width}
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            "written": (write_shapes(graph, pins, Path(folder)), {}),
            "pinned": (graph, pins),
            "batch open": (graph, {"height": height, "width": width}),
            "all open": (graph, {}),
        }
        works = {name: _work(file, engine, pinned, inputs) for name, (file, pinned) in ways.items()}
    series = {name: Series() for name in works}
    Turns(works, series).take(Effort(rounds), lambda *_: None)
    return series


def table(samples: dict[str, list[float]]) -> list[dict[str, Any]]:
    base = median(samples["written"])
    return [
        {"shapes": name, "step": spread(found), "to written": f"{median(found) / base:.3f}"}
        for name, found in samples.items()
    ]


def write_shapes(graph: Path, pins: dict[str, int], folder: Path) -> Path:
    """Write a copy of the graph whose inputs have numbers for shapes, beside a link to its weights."""
    import onnx

    model = onnx.load(graph, load_external_data=False)
    for value in [*model.graph.input, *model.graph.output]:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in pins:
                dimension.dim_value = pins[dimension.dim_param]
            elif dimension.dim_param:
                dimension.Clear()
    del model.graph.value_info[:]
    for weights in graph.parent.glob("*.data"):
        (folder / weights.name).hardlink_to(weights)
    onnx.save(model, folder / "written.onnx")
    return folder / "written.onnx"


def _work(graph: Path, engine: str, pins: dict[str, int], inputs: Inputs) -> Work:
    opened = _opened(graph, engine, pins)

    def work() -> float:
        start = time.perf_counter()
        opened.run("out_sample", inputs)
        return time.perf_counter() - start

    return work


def _opened(graph: Path, engine: str, pins: dict[str, int]) -> Graph:
    if engine == "cpu":
        return open_session(graph, engine, overrides=pins)
    precision = "bfloat16" if openvino.computes_in("bfloat16") else "float32"
    return openvino.open_model(graph, overrides=pins, precision=precision)


if __name__ == "__main__":
    run(main)
