"""The nodes that a float16 graph computes in float32, and how the two are joined."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import parser

from export.engines.tensorrt import float16
from export.engines.tensorrt.float16 import halve
from runtime.errors import WeightError

ATTENTION = """
<ir_version: 9, opset_import: ["" : 20]>
graph (float[b, 4, 8] x, float[b, 8] t, float[8, 8] w) => (float[b, 4, 8] y)
<float[1] scale = {0.5}, float[8] gain = {1, 1, 1, 1, 1, 1, 1, 1}, int64[1] last = {1}>
{
    normal = LayerNormalization (x, gain)
    shifted = Add (normal, gain)
    gate = Sigmoid (shifted)
    normed = Mul (shifted, gate)
    q = MatMul (normed, w)
    k = Transpose <perm = [0, 2, 1]> (q)
    scaled = Mul (k, scale)
    logits = MatMul (q, scaled)
    shares = Softmax (logits)
    mixed = MatMul (shares, q)
    embedding = Unsqueeze (t, last)
    y = Add (mixed, embedding)
}
"""


def attention() -> ir.Model:
    return ir.from_proto(parser.parse_model(ATTENTION))


def types(model: ir.Model) -> dict[str, str]:
    """The element type of every value."""
    proto = onnx.shape_inference.infer_shapes(ir.to_proto(model), check_type=True, strict_mode=True)
    values = [*proto.graph.input, *proto.graph.value_info, *proto.graph.output]
    return {one.name: onnx.TensorProto.DataType.Name(one.type.tensor_type.elem_type) for one in values}


def test_islands_are_logits_and_norms():
    found = types(halve(attention()))
    in_float32 = {"normal", "shifted", "gate", "normed", "logits", "shares"}
    in_float16 = {"q", "k", "scaled", "mixed", "embedding"}
    assert {name: found[name] for name in in_float32 | in_float16} == {
        **dict.fromkeys(in_float32, "FLOAT"),
        **dict.fromkeys(in_float16, "FLOAT16"),
    }


def test_inputs_and_output_keep_their_names_and_float32():
    model = halve(attention())
    assert [one.name for one in model.graph.inputs] == ["x", "t", "w"]
    assert [one.name for one in model.graph.outputs] == ["y"]
    assert all(one.dtype == float16.FLOAT for one in (*model.graph.inputs, *model.graph.outputs))


def test_a_value_is_cast_once_for_all_that_read_it():
    casts = [node.inputs[0].name for node in halve(attention()).graph if node.op_type == "Cast"]
    assert len(casts) == len(set(casts))


def test_a_constant_beyond_float16_is_refused_by_name():
    model = attention()
    model.graph.initializers["scale"].const_value = ir.tensor(np.array([1e5], np.float32), name="scale")
    with pytest.raises(WeightError, match=r"constant scale holds 1e\+05; float16 reaches 65504"):
        halve(model)
