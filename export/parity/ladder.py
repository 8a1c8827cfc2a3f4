"""The parity ladder: each rung compares one form of a model with the form before it.

A rung returns its error if that is within `export.parity.tolerances`, and raises ParityError if not;
outputs that are not finite or constant raise OutputError wherever they appear. Oracles carry the same weight
rounding as the graphs.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from aptp.model.gates import GatedUNet
from aptp.model.sliced import gates_of
from aptp.model.slicer import scattered_state
from aptp.space.architecture import Architecture
from export.graphs import weights
from export.graphs.expert import CLOCK
from export.graphs.graph import Signature
from export.parity import tolerances
from runtime.bundle.schema import Compiled, Range
from runtime.engines import openvino
from runtime.engines.engine import Graph
from runtime.engines.session import open_session
from runtime.errors import OutputError, ParityError
from runtime.models.sessions import OPENERS

Feed = dict[str, Tensor]
Array = np.ndarray[Any, np.dtype[Any]]


def cases(signature: Signature, largest: Mapping[str, int], seed: int = 0) -> list[Feed]:
    """Return inputs to compare on: two sizes, one with batch 1 and one with batch 2; one case where no axis
    is free.

    Inputs named in `largest` are integers drawn below it; the others are normal.
    """
    steps = signature.multiple
    sizes = [
        {"batch": 1, "height": 4 * steps, "width": 4 * steps},
        {"batch": 2, "height": 2 * steps, "width": 3 * steps},
    ]
    chosen = sizes if signature.axes else sizes[:1]
    return [case(signature, size, largest, seed + index) for index, size in enumerate(chosen)]


def case(
    signature: Signature, size: Mapping[str, int], largest: Mapping[str, int] | None = None, seed: int = 0
) -> Feed:
    """Return inputs whose free axes have the sizes given by name."""
    random = torch.Generator().manual_seed(seed)
    return {
        name: _draw(example, signature.axes.get(name, {}), size, (largest or {}).get(name), random)
        for name, example in signature.inputs.items()
    }


def _draw(
    example: Tensor,
    axes: Mapping[int, str],
    size: Mapping[str, int],
    largest: int | None,
    random: torch.Generator,
) -> Tensor:
    shape = [size[axes[axis]] if axis in axes else count for axis, count in enumerate(example.shape)]
    if largest is None:
        return torch.randn(shape, generator=random)
    return torch.randint(largest, shape, generator=random).to(example.dtype)


def outputs(module: nn.Module, feeds: list[Feed]) -> list[Array]:
    """Run the module on each case, float32."""
    with torch.inference_mode():
        return [check_output(module(**feed).float().numpy(), "PyTorch") for feed in feeds]


def check_output(output: Array, where: str) -> Array:
    """Return `output`, unless it is broken the way broken engines break. Raises OutputError."""
    if not np.isfinite(output).all():
        raise OutputError(
            f"{where}: {np.count_nonzero(~np.isfinite(output))} of {output.size} outputs are not finite"
        )
    if output.size >= tolerances.CONSTANT_SIZE and output.std() <= tolerances.CONSTANT * np.abs(output).max():
        raise OutputError(f"{where}: the output is constant at {output.flat[0]:.3g}")
    return output


def relative_rms(found: Array, wanted: Array) -> float:
    """Return the root mean square of the difference, over that of `wanted`."""
    difference = found.astype(np.float64) - wanted
    scale = max(float(np.sqrt(np.mean(wanted.astype(np.float64) ** 2))), tolerances.SMALLEST_RMS)
    return float(np.sqrt(np.mean(difference**2))) / scale


def masked_equals_sliced(
    expert: UNet2DConditionModel,
    dense: UNet2DConditionModel,
    architecture: Architecture,
    feeds: list[Feed],
    sliced: list[Array],
) -> float:
    """Climb rung 1: compare `dense`, which is consumed, with the expert's weights in place and gated by the
    code, with `sliced`.
    """
    state = scattered_state(expert.state_dict(), dense.state_dict(), architecture)
    dense.load_state_dict(state, assign=True)
    gated = GatedUNet(dense.eval(), architecture.space)
    errors = []
    for feed, wanted in zip(feeds, sliced, strict=True):
        gates = gates_of(architecture, len(feed["sample"]))
        with torch.inference_mode():
            found = check_output(gated(**feed, gates=gates).numpy(), "masked UNet")
        errors.append(float(np.sqrt(np.mean((found - wanted) ** 2)) / wanted.std()))
    return within("masked = sliced", worst(errors), tolerances.MASKED_SLICED)


def graph_equals_module(
    folder: Path, signature: Signature, feeds: list[Feed], wanted: list[Array], threads: int
) -> float:
    """Climb rung 2: compare every variant of the graph in `folder`, on the CPU provider in float32, with
    PyTorch.

    An expert's serving variant is fed by its clock.
    """
    with _variants(folder) as variants:
        error = worst(
            _error(open_session(variant, "cpu", threads=threads), signature.output, feeds, wanted)
            for variant in variants
        )
    return within("ONNX = PyTorch", error, tolerances.GRAPH)


def openvino_beside_autocast(
    folder: Path,
    output: str,
    feeds: list[Feed],
    wanted: list[Array],
    precision: str,
    autocast: float,
    threads: int,
) -> tuple[float, bool]:
    """Climb rung 3: return the error of OpenVINO in `precision`, and whether that may be used.

    It may if it stays within a factor of PyTorch's `autocast` error on the same inputs. Where it may not,
    OpenVINO serves in float32, which has to equal PyTorch as rung 2 does. Raises ParityError, OutputError.
    """

    def error_in(precision: str) -> float:
        return _error(
            openvino.open_model(serving, precision=precision, threads=threads), output, feeds, wanted
        )

    with _variants(folder) as variants:
        serving = variants[-1]
        error = error_in(precision)
        if precision != "float32":
            if error <= max(tolerances.AUTOCAST_FACTOR * autocast, tolerances.GRAPH):
                return error, True
            within("openvino in float32 = PyTorch", error_in("float32"), tolerances.GRAPH)
            return error, False
    return within("openvino in float32 = PyTorch", error, tolerances.GRAPH), False


def compiled_beside_autocast(
    path: Path,
    wanted: Mapping[str, Any],
    feeds: list[Feed],
    outputs: list[Array],
    autocast: float,
    threads: int,
) -> float:
    """Climb rung 3 for a compiled engine: equal to PyTorch in float32, else not much worse than autocast."""
    answers = compiled_outputs(path, wanted, feeds, threads)
    errors = [relative_rms(found, expected) for found, expected in zip(answers, outputs, strict=True)]
    return compiled_within(wanted, worst(errors), autocast)


def compiled_outputs(
    path: Path, wanted: Mapping[str, Any], feeds: list[Feed], threads: int
) -> Iterator[Array]:
    """Run the compiled engine at `path` on each case."""
    profile = {axis: Range(*sizes) for axis, sizes in wanted["profile"].items()}
    entry = Compiled(wanted["kind"], path.name, wanted["precision"], profile, wanted["target"], "")
    engine = OPENERS[entry.kind](path, entry, threads)
    for feed in feeds:
        arrays = {name: tensor.numpy() for name, tensor in feed.items()}
        found = engine.run(arrays.pop("sample"), arrays.pop("time_embedding"), arrays)
        yield check_output(found, f"engine {entry.kind}")


def compiled_within(wanted: Mapping[str, Any], error: float, autocast: float, where: str = "") -> float:
    """Return a compiled engine's error, where rung 3 takes it beside that of autocast. Raises ParityError."""
    exact = wanted["precision"] == "float32"
    tolerance = tolerances.GRAPH if exact else tolerances.AUTOCAST_FACTOR * autocast
    return within(f"{wanted['kind']} in {wanted['precision']}{where}", error, tolerance)


def autocast_error(
    module: nn.Module, feeds: list[Feed], wanted: list[Array], precision: str = "bfloat16"
) -> float:
    """Return the error of PyTorch's own autocast to `precision` against its float32 outputs."""
    with torch.autocast("cpu", getattr(torch, precision)):
        found = outputs(module, feeds)
    return worst(relative_rms(one, other) for one, other in zip(found, wanted, strict=True))


def same_image(found: Array, wanted: Array) -> float:
    """Climb rung 4: return the share of values (uint8) that lie further apart than the tolerance's step."""
    apart = np.abs(found.astype(np.int16) - wanted.astype(np.int16)) > tolerances.PIXEL_STEP
    return within("image = diffusers", float(apart.mean()), 1 - tolerances.PIXEL_SHARE)


def worst(errors: Iterable[float]) -> float:
    """Return the largest, or not a number where one of them is none: Python's `max` would pass over it."""
    return float(np.max(list(errors)))


def within(rung: str, error: float, tolerance: float) -> float:
    """Return `error`, unless it is above `tolerance` or not a number. Raises ParityError."""
    if not error <= tolerance:
        raise ParityError(rung, error, tolerance)
    return error


@contextmanager
def _variants(folder: Path) -> Iterator[list[Path]]:
    """Yield the graphs in `folder`, the serving variant last, meanwhile with its float32 weights."""
    floats = folder / weights.SERVE_WEIGHTS
    variants = [folder / name for name in (weights.GRAPH, weights.SERVE) if (folder / name).exists()]
    try:
        if len(variants) > 1:
            weights.widen(folder / weights.WEIGHTS, floats)
        yield variants
    finally:
        floats.unlink(missing_ok=True)


def _error(graph: Graph, output: str, feeds: list[Feed], wanted: list[Array]) -> float:
    errors = []
    for feed, expected in zip(feeds, wanted, strict=True):
        arrays = {name: tensor.numpy() for name, tensor in feed.items()}
        if "time_embedding" in graph.inputs:
            arrays = _clocked(graph.path.with_name(CLOCK), arrays)
        found = graph.run(output, arrays)
        errors.append(relative_rms(check_output(found, graph.path.name), expected))
    return worst(errors)


def _clocked(path: Path, arrays: dict[str, Array]) -> dict[str, Array]:
    """Return the inputs of a serving variant, from those of the portable one."""
    clock = open_session(path, "cpu")
    own = {name: arrays.pop(name) for name in clock.inputs}
    return {**arrays, "time_embedding": clock.run("time_embedding", own)}
