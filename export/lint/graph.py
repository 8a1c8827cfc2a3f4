"""The check of one graph: every node and every element type in it, and every finding named.

What passes is what the parser documents (`export.lint.operators`), not what a builder on a GPU will make of
it: it was written without TensorRT at hand, and no plan has been built from what it passed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from export.lint.operators import ENDS, OPERATORS, OPSETS, TENSORRT
from export.lint.rules import RULES, Node
from runtime.errors import Refused, UnsupportedGraphError, unusable

# How many findings a message names; `findings` gives all.
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """A node or type that the parser does not take, with its place and the reason."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


def load(path: Path) -> onnx.ModelProto:
    """Load the graph in `path`, without its external data. Raises Refused."""
    try:
        return onnx.load(path, load_external_data=False)
    except OSError as error:
        raise Refused(unusable(error)) from error
    except DecodeError as error:
        raise Refused(f"{path}: is not an ONNX file: {error}") from error


def require(path: Path) -> None:
    """Raise UnsupportedGraphError unless TensorRT's parser documents all of the graph in `path`."""
    found = findings(load(path))
    if found:
        named = "; ".join(map(str, found[:_SHOWN]))
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UnsupportedGraphError(f"{path}: TensorRT {TENSORRT} does not take it: {named}{more}")


def findings(model: onnx.ModelProto) -> list[Finding]:
    """Return all that the parser does not take, in the graph's order; external data is not read."""
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    version = opsets.get("", 0)
    if version not in OPSETS:
        return [Finding("the graph", f"is of opset {version}, and {OPSETS.start} to {OPSETS[-1]} are read")]
    try:
        # Strict checking is what makes a graph strongly typed: operands of one type, and every type known.
        typed = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        return [Finding("the graph", f"is not well typed: {error}")]
    types = _types(typed.graph)
    constant = frozenset(_constants(typed.graph))
    nodes = (found for proto in typed.graph.node for found in _node(Node.of(proto, constant), types, version))
    return [*_ends(typed.graph), *nodes]


def _types(graph: onnx.GraphProto) -> dict[str, str]:
    """Return the element type of every value, as ONNX writes it inside `tensor(…)`."""
    values = [*graph.input, *graph.value_info, *graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {name: onnx.TensorProto.DataType.Name(code).lower() for name, code in types.items()}


def _constants(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (tensor.name for tensor in graph.initializer)
    yield from (node.output[0] for node in graph.node if node.op_type == "Constant")


def _ends(graph: onnx.GraphProto) -> Iterator[Finding]:
    for value in (*graph.input, *graph.output):
        kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
        if kind not in ENDS:
            yield Finding(f"the graph's {value.name}", f"is of type {kind}")


def _node(node: Node, types: dict[str, str], version: int) -> Iterator[Finding]:
    proto = node.proto
    where = f"{proto.op_type} {proto.name!r}"
    if proto.domain not in ("", "ai.onnx") or proto.op_type not in OPERATORS:
        yield Finding(where, "is no operator that the parser's table holds")
        return
    for name in _variable(proto, version):
        kind = types.get(name)
        if kind not in OPERATORS[proto.op_type]:
            yield Finding(where, f"takes {name!r} of type {kind or 'unknown'}")
    yield from (Finding(where, why) for rule in RULES.get(proto.op_type, ()) if (why := rule(node)))


def _variable(proto: onnx.NodeProto, version: int) -> Iterator[str]:
    """Yield the inputs whose type the operator leaves open: of shapes and axes it is fixed, and no data's."""
    parameters = onnx.defs.get_schema(proto.op_type, version).inputs
    for index, name in enumerate(proto.input):
        fixed = parameters[min(index, len(parameters) - 1)].type_str.startswith("tensor(")
        if name and not fixed:
            yield name
