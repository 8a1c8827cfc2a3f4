"""The graph that a plan is built from, its weights, and its check on a CPU.

A float32 plan is built from the expert's serving graph as it is. For float16 that graph, over the stored
weights, is rewritten (`float16`) and linted, and its rounding twin (`rounding`) run: finite and within the
ladder before a GPU is asked.
"""

from pathlib import Path
from typing import NamedTuple

import onnx_ir as ir

from export.engines.tensorrt.float16 import halve
from export.engines.tensorrt.rounding import rounded
from export.graphs import weights
from export.graphs.graph import Signature, save
from export.lint.graph import require
from export.parity import ladder, tolerances
from runtime.engines.session import open_session
from runtime.files import publish

TYPED = "typed.onnx"
_TWIN = "rounded.onnx"


class Typed(NamedTuple):
    """A graph to build from, and its size for the forecast."""

    path: Path
    nodes: int
    weights: int  # bytes, in the graph's precision


def typed(expert: Path, folder: Path, precision: str) -> Typed:
    """Put the graph of the expert in `expert` into `folder`, in `precision`, with its weights beside it.

    Raises WeightError, UnsupportedGraphError.
    """
    path, halves = folder / TYPED, expert / weights.WEIGHTS
    if precision == "float16":
        data = folder / weights.WEIGHTS
        publish.place(halves, data)
        model = ir.load(expert / weights.SERVE)
        weights.refer_to_halves(model, weights.extents_of(model))
        model = halve(model)
    else:
        data = folder / weights.SERVE_WEIGHTS
        weights.widen(halves, data)
        model = ir.load(expert / weights.SERVE)
    save(model, path)
    require(path)
    return Typed(path, len(model.graph), data.stat().st_size)


def prove(
    graph: Path,
    signature: Signature,
    feeds: list[ladder.Feed],
    wanted: list[ladder.Array],
    autocast: float,
    threads: int,
) -> float:
    """Return the error of a float16 graph, rounded wherever float16 rounds, against PyTorch in float32.

    Raises OutputError where something overflows, ParityError beyond the factor of `autocast`'s error.
    """
    twin = graph.with_name(_TWIN)
    save(rounded(ir.load(graph)), twin)
    session = open_session(twin, "cpu", threads=threads)
    errors = []
    for feed, expected in zip(feeds, wanted, strict=True):
        found = session.run(signature.output, {name: tensor.numpy() for name, tensor in feed.items()})
        errors.append(ladder.relative_rms(ladder.check_output(found, "the float16 graph"), expected))
    return ladder.within(
        "float16 graph, rounded on a CPU", ladder.worst(errors), tolerances.AUTOCAST_FACTOR * autocast
    )
