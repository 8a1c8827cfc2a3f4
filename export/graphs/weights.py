"""The weights of a bundle: rounded to float16, in one aligned file, and read as float16 or as float32.

A graph gets two variants over the same weights (docs/BUNDLE.md, "A model"): `model.onnx` reads the float16
file and casts; `serve.onnx` reads the same file widened to float32, which a reader makes and this module only
describes. Refuses weights that float16 cannot hold.
"""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from runtime.errors import WeightError

GRAPH, WEIGHTS, SERVE, SERVE_WEIGHTS = "model.onnx", "model.onnx.data", "serve.onnx", "serve.onnx.data"
# Offsets are whole pages, so that both files can be mapped.
PAGE = 4096
# Below this a tensor costs less inline than its page.
SMALLEST = 256
_CHUNK = 1 << 22


class Extent(NamedTuple):
    """The extent of one tensor in the float16 file: offset in bytes, and elements."""

    offset: int
    elements: int


def round_to_half(module: nn.Module) -> None:
    """Round every floating tensor of `module` to the nearest float16, in place; its dtype stays as it is.

    Raises WeightError, naming the tensor, for values that are not finite or lie beyond float16's range.
    """
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if not tensor.is_floating_point():
            continue
        rounded = tensor.detach().half()
        if not rounded.isfinite().all():
            worst = (
                "values that are not finite" if not tensor.isfinite().all() else f"{tensor.abs().max():.3g}"
            )
            raise WeightError(
                f"tensor {name} holds {worst}; float16 reaches 65504: repair the checkpoint's weights"
            )
        with torch.no_grad():
            tensor.copy_(rounded)


def write_halves(models: Iterable[ir.Model], path: Path) -> dict[str, Extent]:
    """Write every large initializer that float16 holds exactly to `path`; return what lies where.

    No two models have initializers of one name among those.
    """
    extents: dict[str, Extent] = {}
    with path.open("xb") as file:
        for name, value in chain.from_iterable(model.graph.initializers.items() for model in models):
            tensor = value.const_value
            if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < SMALLEST:
                continue
            half = exact_half(tensor.numpy())
            if half is not None:
                assert name not in extents, "two models have a weight of this name"
                file.write(bytes(-file.tell() % PAGE))
                extents[name] = Extent(file.tell(), half.size)
                file.write(np.ascontiguousarray(half, "<f2").data)
    return extents


def store_as_multiplied(model: ir.Model) -> None:
    """Store the weights of products as [out, in], which torch has and OpenVINO multiplies by; the graph turns
    them.

    The exporter stores [in, out]. OpenVINO turns that for itself: it opens in twice the time, and in bfloat16
    it keeps what it turned, 2 bytes a weight, beside what it lays out. ONNX Runtime turns weights back as it
    opens a graph, and computes the same to the bit.
    """
    turned: dict[ir.Value, ir.Value] = {}
    for node in list(model.graph):
        if node.op_type != "MatMul" or (value := node.inputs[1]) is None:
            continue
        if value not in turned and _multiplies_only(value):
            tensor = value.const_value
            assert tensor is not None, "an initializer has a value"
            value.const_value = ir.Tensor(tensor.numpy().T, name=value.name)
            value.shape = value.const_value.shape
            transpose = ir.node("Transpose", [value], attributes={"perm": [1, 0]})
            model.graph.insert_before(node, transpose)
            turned[value] = transpose.outputs[0]
        if value in turned:
            node.replace_input_with(1, turned[value])


def _multiplies_only(value: ir.Value) -> bool:
    """Return whether a value is a stored matrix that nothing reads but products, from their right."""
    tensor = value.const_value
    uses = ((use.node.op_type, use.idx) for use in value.uses())
    return (
        value.is_initializer()
        and tensor is not None
        and len(tensor.shape) == 2
        and all(use == ("MatMul", 1) for use in uses)
    )


def exact_half(array: np.ndarray) -> np.ndarray | None:
    """Return `array` as float16 if that loses nothing, else None."""
    with np.errstate(over="ignore", invalid="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half, array) else None


def refer_to_floats(model: ir.Model, extents: dict[str, Extent]) -> None:
    """Make `model` the serving variant: float32 initializers at twice the offset of their float16 twin."""
    for name in extents.keys() & model.graph.initializers.keys():
        value, extent = model.graph.initializers[name], extents[name]
        value.const_value = _external(value, SERVE_WEIGHTS, ir.DataType.FLOAT, extent, 4)


def extents_of(serving: ir.Model) -> dict[str, Extent]:
    """Return what lies where in the float16 file, by the serving variant that was read from beside it."""
    found = {}
    for name, value in serving.graph.initializers.items():
        if isinstance(tensor := value.const_value, ir.ExternalTensor):
            assert tensor.offset is not None, "write_halves gave it one"
            found[name] = Extent(tensor.offset // 2, tensor.size)
    return found


def refer_to_halves(model: ir.Model, extents: dict[str, Extent]) -> None:
    """Make `model` the portable variant: float16 initializers, each followed by a Cast to float32."""
    graph = model.graph
    casts = []
    for name, extent in extents.items():
        value = graph.initializers.pop(name)
        half = ir.Value(name=f"{name}.half", shape=value.shape, type=ir.TensorType(ir.DataType.FLOAT16))
        half.const_value = _external(half, WEIGHTS, ir.DataType.FLOAT16, extent, 2)
        graph.register_initializer(half)
        cast = ir.node("Cast", [half], attributes={"to": ir.DataType.FLOAT}, name=f"{name}.cast")
        cast.outputs[0].name = name
        value.replace_all_uses_with(cast.outputs[0])
        casts.append(cast)
    if casts:
        graph.insert_before(graph[0], casts)


def _external(
    value: ir.Value, location: str, dtype: ir.DataType, extent: Extent, width: int
) -> ir.ExternalTensor:
    offset, length = extent.offset * width // 2, extent.elements * width
    shape = ir.Shape(value.const_value.shape if value.const_value is not None else value.shape)
    return ir.ExternalTensor(location, offset, length, dtype, shape=shape, name=value.name)


def widen(halves: Path, floats: Path) -> None:
    """Write `floats`, the float32 twin of a float16 file, element by element; a reader does the same in its
    cache.
    """
    with halves.open("rb") as source, floats.open("xb") as target:
        while chunk := source.read(_CHUNK):
            target.write(np.frombuffer(chunk, "<f2").astype("<f4").data)
