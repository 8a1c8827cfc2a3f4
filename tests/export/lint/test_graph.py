"""The findings of the linter in graphs: each restriction planted once."""

import onnx
import pytest
from onnx import parser

from export.lint.__main__ import main
from export.lint.graph import findings, require
from export.lint.operators import OPERATORS
from export.lint.rules import RULES
from runtime.errors import Refused, UnsupportedGraphError


def model(
    body: str, *, inputs: str = "float[2, 4, 8, 8] x", output: str = "float[a, b, c, d] y", opset: int = 20
):
    """A graph in ONNX's textual form."""
    head = f'<ir_version: 9, opset_import: ["" : {opset}, "ours" : 1]>'
    return parser.parse_model(f"{head} graph ({inputs}) => ({output}) {{ {body} }}")


def test_a_documented_graph_passes():
    assert findings(model('y = Resize <mode = "nearest"> (x, , s)', inputs=f"{X}, float[4] s")) == []


X = "float[2, 4, 8, 8] x"


@pytest.mark.parametrize(
    ("body", "inputs", "found"),
    [
        ("y = Bernoulli(x)", X, "Bernoulli '': is no operator"),
        ("y = ours.Attention(x)", X, "Attention '': is no operator"),
        ("y = Sigmoid(x)", "double[2, 4, 8, 8] x", "Sigmoid '': takes 'x' of type double"),
        ("y = Sigmoid(x)", "double[2, 4, 8, 8] x", "the graph's x: is of type double"),
        ("h = Cast <to = 10> (x) y = Add(x, h)", X, "the graph: is not well typed"),
        ('y = Resize <mode = "cubic"> (x, , s)', f"{X}, float[4] s", "mode 'cubic'"),
        ("y = Resize <antialias = 1> (x, , s)", f"{X}, float[4] s", "antialias 1"),
        ("z = Unsqueeze(x, a) y = Identity(z)", f"{X}, int64[1] a", "axes 'a' are computed"),
        ("y = ReduceMean(x, a)", f"{X}, int64[1] a", "axes 'a' are computed"),
        ("y, m = LayerNormalization(x, g)", f"{X}, float[8] g", "output 'm' besides the first"),
        ("y = MaxPool <kernel_shape = [2, 2], dilations = [2, 2]> (x)", X, "dilations [2, 2]"),
        ("y, i = MaxPool <kernel_shape = [2, 2]> (x)", X, "output 'i' besides the first"),
        ('c = Constant <value_string = "a"> () y = Identity(x)', X, "attribute value_string"),
    ],
)
def test_a_restriction_is_found(body, inputs, found):
    output = "double[a, b, c, d] y" if "double" in inputs else "float[a, b, c, d] y"
    assert [one for one in map(str, findings(model(body, inputs=inputs, output=output))) if found in one]


@pytest.mark.parametrize(("opset", "passes"), [(8, False), (9, True), (24, True), (25, False)])
def test_opsets_that_the_parser_reads(opset, passes):
    assert (findings(model("y = Sigmoid(x)", opset=opset)) == []) == passes


def test_axes_from_a_constant_node_are_constant():
    body = "a = Constant <value_ints = [0]> () z = Unsqueeze(x, a) y = Squeeze(z, a)"
    assert findings(model(body)) == []


def test_every_rule_is_of_an_operator_in_the_table():
    assert RULES.keys() <= OPERATORS.keys()


def test_a_graph_that_is_not_taken_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(
        model("a = Bernoulli(x) b = Bernoulli(x) c = Bernoulli(x) d = Bernoulli(x) y = Identity(x)"), path
    )
    with pytest.raises(UnsupportedGraphError, match=r"model.onnx: TensorRT 10\.15 .*Bernoulli.*; and 1 more"):
        require(path)


def test_files_that_hold_no_graph(tmp_path):
    with pytest.raises(Refused, match="No such file"):
        require(tmp_path / "model.onnx")
    (tmp_path / "model.onnx").write_bytes(b"\xff" * 9)
    with pytest.raises(Refused, match="is not an ONNX file"):
        require(tmp_path / "model.onnx")


def test_the_command_tells_what_it_found(tmp_path, capsys):
    good, bad = tmp_path / "good.onnx", tmp_path / "bad.onnx"
    onnx.save(model("y = Sigmoid(x)"), good)
    onnx.save(model("y = Bernoulli(x)"), bad)
    assert main([str(good)]) == 0
    assert "good.onnx: nothing found" in capsys.readouterr().out
    assert main([str(good), str(bad)]) == 1
    assert "is no operator" in capsys.readouterr().out
