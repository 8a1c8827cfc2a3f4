"""A CPU reference of a float16 engine: a float32 graph that rounds wherever a float16 one would.

ONNX Runtime's CPU provider runs a float16 graph, but keeps float32 between nodes where it finds that
shorter: of attention logits beyond 65504 it made finite images. So the graph is not run as it is. Its twin
computes every node in float32, as tensor cores accumulate, and sends every result that float16 would hold
through float16 and back; what overflows there is infinite here.
"""

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from export.engines.tensorrt.float16 import FLOAT, HALF


def rounded(model: ir.Model) -> ir.Model:
    """Rewrite a float16 graph (`half.halve`), in place, as its float32 twin that rounds; return it."""
    ShapeInferencePass()(model)
    graph = model.graph
    for value in list(graph.initializers.values()):
        if value.dtype == HALF:
            _widen(graph, value)
    for node in list(graph):
        for output in node.outputs:
            if output.dtype == HALF:
                _round(graph, node, output)
    for node in graph:
        for output in node.outputs:
            if not output.is_graph_output():
                output.shape, output.type = None, None
    return model


def _widen(graph: ir.Graph, weight: ir.Value) -> None:
    cast = _cast(weight, FLOAT, f"{weight.name}.wide")
    users = [user for user in weight.uses() if user.node is not cast]
    for user in users:
        user.node.replace_input_with(user.idx, cast.outputs[0])
    graph.insert_before(graph[0], [cast])


def _round(graph: ir.Graph, node: ir.Node, output: ir.Value) -> None:
    """Round `output`, which stays float32, to the nearest float16."""
    if node.op_type == "Cast" and output.dtype == HALF:
        narrow = output
    else:
        output.dtype = FLOAT
        narrow = _cast(output, HALF, f"{output.name}.narrow").outputs[0]
    wide = _cast(narrow, FLOAT, f"{output.name}.rounded")
    for user in [user for user in output.uses() if user.node not in (narrow.producer(), wide)]:
        user.node.replace_input_with(user.idx, wide.outputs[0])
    graph.insert_after(node, [wide] if narrow is output else [narrow.producer(), wide])


def _cast(value: ir.Value, to: ir.DataType, name: str) -> ir.Node:
    cast = ir.node("Cast", [value], attributes={"to": to}, name=f"{name}.cast")
    cast.outputs[0].name, cast.outputs[0].dtype = name, to
    return cast
