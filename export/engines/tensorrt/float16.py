"""The float16 form of an expert's graph: which nodes compute in float16, and which stay in float32.

A strongly typed network has no other precision than its graph's, so the choice is made here, where it can be
read, and shown on a CPU before a GPU is asked. Three islands keep float32's range (`island`):

* the attention logits q·kᵀ and the softmax over them. In SD 2.1 they pass 65504, float16's largest number,
  and an infinite logit makes the whole image NaN, which decoders show as black;
* normalisations, whose sums of squares overflow long before their inputs do, with the scale, shift and
  activation that follow: one kernel, which rounds once;
* inputs and output, which are float32 in every bundle.

Refuses constants that float16 cannot hold. That the graph still computes what the expert computes is shown by
`export.parity`.
"""

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass

from runtime.errors import WeightError

HALF, FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT
NORMALISATIONS = frozenset(
    {"InstanceNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization"}
)
# What may lie between a product of queries and keys and its softmax: scales and masks.
_BETWEEN = frozenset({"Add", "Mul", "Div", "Where", "Reshape", "Transpose"})
# What follows a normalisation in the same kernel; a group norm is exported as several of these.
_FOLLOWING = frozenset({"Reshape", "Mul", "Add", "Sigmoid"})
_LARGEST = float(np.finfo(np.float16).max)


def halve(model: ir.Model, *, islands: bool = True) -> ir.Model:
    """Rewrites a float32 graph, in place, to compute in float16 outside its islands; returns it.

    Weights that the graph stores as float16 are used as they are, without the cast that widens them. Without
    `islands` only what float32 enters and leaves by is kept, which is how the tests show what they are for.
    Raises WeightError.
    """
    ShapeInferencePass()(model)
    kept = island(model.graph) if islands else set()
    _Halving(model.graph, kept).run()
    RemoveUnusedNodesPass()(model)
    for value in _values(model.graph):
        # Inferred shapes would contradict a pinned dimension, and types are inferred again by every reader.
        value.shape, value.type = None, None
    return model


def island(graph: ir.Graph) -> set[ir.Node]:
    """Return the nodes that stay in float32."""
    kept: set[ir.Node] = set()
    normed: set[ir.Node] = set()
    for node in graph:
        if node.op_type in NORMALISATIONS or _follows(node, normed):
            normed.add(node)
        elif node.op_type == "Softmax":
            kept.update(_logits(node))
    return kept | normed


def _follows(node: ir.Node, normed: set[ir.Node]) -> bool:
    """Whether `node` computes with nothing but constants and what `normed` nodes give."""
    if node.op_type not in _FOLLOWING:
        return False
    floats = [value for value in node.inputs if value is not None and value.dtype == FLOAT]
    computed = [one for one in (value.producer() for value in floats) if one and not _widens(one)]
    return bool(computed) and all(one in normed for one in computed)


def _widens(node: ir.Node) -> bool:
    """Whether `node` does nothing but cast a weight that is stored in float16."""
    stored = node.inputs[0] if node.op_type == "Cast" else None
    return stored is not None and stored.is_initializer() and stored.dtype == HALF


def _logits(softmax: ir.Node) -> Iterator[ir.Node]:
    """Yield a softmax and everything between it and the products it is taken over, these included."""
    waiting = [softmax]
    while waiting:
        node = waiting.pop()
        yield node
        if node.op_type != "MatMul":
            above = filter(None, (value and value.producer() for value in node.inputs))
            waiting += [one for one in above if one.op_type == "MatMul" or one.op_type in _BETWEEN]


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    for node in graph:
        yield from (value for value in node.outputs if not value.is_graph_output())


class _Halving:
    """One pass over a graph, in its order. Every value has a float32 or a float16 form, or comes by both."""

    def __init__(self, graph: ir.Graph, kept: set[ir.Node]) -> None:
        self._graph, self._kept = graph, kept
        self._form: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def run(self) -> None:
        """Retypes every node, then widens the outputs again."""
        for node in list(self._graph):
            if _widens(node):
                self._form[node.outputs[0], HALF] = node.inputs[0]
                self._form[node.outputs[0], FLOAT] = node.outputs[0]
            else:
                self._retype(node, FLOAT if node in self._kept else HALF)
        for index, output in enumerate(list(self._graph.outputs)):
            self._graph.outputs[index] = self._widened(output)

    def _retype(self, node: ir.Node, wanted: ir.DataType) -> None:
        free_inputs, free_outputs = _free(node)
        for index in free_inputs:
            value = node.inputs[index]
            if value is not None and value.dtype in (HALF, FLOAT):
                node.replace_input_with(index, self._as(value, wanted, node))
        for index in free_outputs:
            if node.outputs[index].dtype in (HALF, FLOAT):
                node.outputs[index].dtype = wanted

    def _as(self, value: ir.Value, wanted: ir.DataType, user: ir.Node) -> ir.Value:
        """`value` as `wanted`, made where its first user needs it."""
        known = self._form.get((value, wanted))
        if known is None:
            known = value if value.dtype == wanted else self._made(value, wanted, user)
            self._form[value, wanted] = known
        return known

    def _made(self, value: ir.Value, wanted: ir.DataType, user: ir.Node) -> ir.Value:
        if value.is_initializer() and wanted == HALF:
            return self._constant(value)
        name = f"{value.name}.{'half' if wanted == HALF else 'float'}"
        cast = ir.node("Cast", [value], attributes={"to": wanted}, name=f"{name}.cast")
        cast.outputs[0].name, cast.outputs[0].dtype = name, wanted
        self._graph.insert_before(user, [cast])
        return cast.outputs[0]

    def _constant(self, value: ir.Value) -> ir.Value:
        """Return a small constant rounded once, here, rather than cast on every run."""
        assert value.const_value is not None, "an initializer has a value"
        array = value.const_value.numpy()
        largest = float(np.abs(array).max(initial=0.0))
        if not largest <= _LARGEST:
            raise WeightError(f"constant {value.name} holds {largest:.3g}; float16 reaches 65504")
        tensor = ir.tensor(array.astype(np.float16), name=f"{value.name}.half")
        half = ir.Value(name=tensor.name, shape=value.shape, type=ir.TensorType(HALF), const_value=tensor)
        self._graph.register_initializer(half)
        return half

    def _widened(self, output: ir.Value) -> ir.Value:
        """Return the graph's output in float32, under its old name."""
        if output.dtype != HALF:
            return output
        name, shape = output.name, output.shape
        output.name = f"{name}.half"
        cast = ir.node("Cast", [output], attributes={"to": FLOAT}, name=f"{name}.cast")
        wide = cast.outputs[0]
        wide.name, wide.shape, wide.type = name, shape, ir.TensorType(FLOAT)
        self._graph.append(cast)
        return wide


def _free(node: ir.Node) -> tuple[list[int], list[int]]:
    """Return the inputs and outputs of `node` that may be float16 as well as float32, by ONNX's own
    definition.
    """
    schema = onnx.defs.get_schema(node.op_type, node.graph.opset_imports[""], node.domain)
    both = {"tensor(float)", "tensor(float16)"}
    free = {
        constraint.type_param_str
        for constraint in schema.type_constraints
        if both <= set(constraint.allowed_type_strs)
    }

    def places(parameters: list[onnx.defs.OpSchema.FormalParameter], count: int) -> list[int]:
        # A variadic parameter is the last, and stands for all that follow.
        return [i for i in range(count) if parameters[min(i, len(parameters) - 1)].type_str in free]

    return places(schema.inputs, len(node.inputs)), places(schema.outputs, len(node.outputs))
